package jobj;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.WindowStore;

/** Job J on Kafka Streams: audit lines in, enriched events and mass-delete alerts out. */
public final class JobJ {
    private static final long THRESHOLD = 100;
    private static final String ORIGIN = "job-j-00001";
    private static final TimeWindows WINDOWS =
            TimeWindows.ofSizeAndGrace(Duration.ofMinutes(5), Duration.ofHours(1));

    private JobJ() {}

    /** Arguments: bootstrap servers, application id, raw topic, events topic, alerts topic, folder
     * of dictionaries, folder of state. */
    public static void main(String[] args) throws Exception {
        Topology topology = topology(args[2], args[3], args[4], Dictionaries.load(Path.of(args[5])));
        run(topology, settings(args[0], args[1], args[6]));
    }

    /** Runs until a signal; ends the process with 1 when a thread fails. */
    static void run(Topology topology, Properties settings) throws InterruptedException {
        KafkaStreams streams = new KafkaStreams(topology, settings);
        CountDownLatch stopped = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                stopped.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        stopped.await();
        System.exit(1);
    }

    static Topology topology(String raw, String events, String alerts, Dictionaries dictionaries) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, AuditLine> lines = events(builder, raw, events, dictionaries);

        lines.filter((user, line) -> line.operation().equals("fs_delete"))
                .mapValues(AuditLine::time)
                .groupByKey(Grouped.with("deletes", Serdes.String(), Serdes.Long()))
                .windowedBy(WINDOWS)
                // Without a cache each count is passed on, so none skips the threshold.
                .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("deletes")
                        .withCachingDisabled())
                .toStream()
                .filter((window, count) -> count == THRESHOLD)
                .map((window, count) -> KeyValue.pair(
                        window.key(), new Alert(window.key(), window.window().start(), count)))
                .to(alerts, Produced.with(Serdes.String(), new JsonSerde<>()));
        return builder.build();
    }

    /** Writes the event of each line; gives the lines by user, at their event times. */
    static KStream<String, AuditLine> events(
            StreamsBuilder builder, String raw, String events, Dictionaries dictionaries) {
        Normalizer normalizer = new Normalizer(dictionaries);
        TimestampExtractor eventTime =
                (entry, partitionTime) -> entry.value() instanceof AuditLine line ? line.time() : -1;
        KStream<String, AuditLine> lines = builder
                .stream(
                        raw,
                        Consumed.with(Serdes.ByteArray(), new AuditLine.LineSerde())
                                .withTimestampExtractor(eventTime))
                .selectKey((key, line) -> line.user());
        lines.processValues(() -> new NormalizeProcessor(normalizer, ORIGIN))
                .to(events, Produced.with(Serdes.String(), new JsonSerde<>()));
        return lines;
    }

    /** A window of a user whose deletes have reached the threshold. */
    record Alert(String user, long window, long count) {}

    static Properties settings(String bootstrap, String application, String state) {
        Properties settings = new Properties();
        settings.putAll(Map.of(
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
                StreamsConfig.APPLICATION_ID_CONFIG, application,
                StreamsConfig.STATE_DIR_CONFIG, state,
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
                StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2,
                StreamsConfig.REPLICATION_FACTOR_CONFIG, 1,
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"));
        return settings;
    }
}
