package jobj;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Set;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Job S on Kafka Streams: audit lines in, events and alerts about files in much use out.
 *
 * A processor of its own, which keeps the times of each file, because
 * `SlidingWindows` with `count()` costs nearly three times as much: it reads and writes a
 * window for each record on either side of it.
 */
public final class JobS {
    private static final int THRESHOLD = 20;
    private static final long SPAN_MS = 5 * 60_000;
    private static final String STORE = "touches";
    private static final Set<String> TOUCHES =
            Set.of("fs_read_data", "fs_open", "fs_write_metadata", "fs_delete");

    private JobS() {}

    /** Arguments: bootstrap servers, application id, raw topic, events topic, alerts topic, folder
     * of dictionaries (not read), folder of state, `memory` or `rocksdb`. */
    public static void main(String[] args) throws Exception {
        JobJ.run(
                topology(args[2], args[3], args[4], args[7].equals("memory")),
                JobJ.settings(args[0], args[1], args[6]));
    }

    static Topology topology(String raw, String events, String alerts, boolean memory) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(Stores.keyValueStoreBuilder(
                memory ? Stores.inMemoryKeyValueStore(STORE) : Stores.persistentKeyValueStore(STORE),
                Serdes.String(),
                new Times()));
        KStream<String, AuditLine> lines = JobJ.events(
                builder, raw, events, Dictionaries.none());
        lines.filter((user, line) -> TOUCHES.contains(line.operation()))
                .map((user, line) -> KeyValue.pair(line.path(), line.time()))
                .repartition(Repartitioned.with(Serdes.String(), Serdes.Long()).withName(STORE))
                .process(Count::new, STORE)
                .to(alerts, Produced.with(Serdes.String(), new JsonSerde<>()));
        return builder.build();
    }

    /** A file that was touched so often in the five minutes up to a time. */
    record Alert(String path, long time, long count) {}

    /** Keeps the times of each file that a window can still need, in order. */
    private static final class Count extends ContextualProcessor<String, Long, String, Alert> {
        // Records of one partition may come this much later than those of another.
        private static final long GRACE_MS = 300_000;
        private KeyValueStore<String, long[]> store;

        @Override
        public void init(ProcessorContext<String, Alert> context) {
            super.init(context);
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, Long> touch) {
            long time = touch.value();
            long[] before = store.get(touch.key());
            long[] times = before == null ? new long[] {time} : with(before, time);
            store.put(touch.key(), times);
            for (int last = THRESHOLD - 1; last < times.length; last++) {
                int first = last - THRESHOLD + 1;
                boolean own = times[first] <= time && time <= times[last];
                if (own && times[last] - times[first] < SPAN_MS) {
                    context().forward(touch.withValue(
                            new Alert(touch.key(), times[last], THRESHOLD)));
                }
            }
        }

        private long[] with(long[] before, long time) {
            long oldest = context().currentStreamTimeMs() - SPAN_MS - GRACE_MS;
            int from = 0;
            while (from < before.length && before[from] <= oldest) {
                from++;
            }
            long[] times = Arrays.copyOfRange(before, from, before.length + 1);
            int at = times.length - 1;
            while (at > 0 && times[at - 1] > time) {
                times[at] = times[at - 1];
                at--;
            }
            times[at] = time;
            return times;
        }
    }

    /** Times as eight bytes each. */
    private static final class Times extends Serdes.WrapperSerde<long[]> implements Serde<long[]> {
        Times() {
            super(
                    (topic, times) -> {
                        if (times == null) {
                            return null;
                        }
                        ByteBuffer buffer = ByteBuffer.allocate(times.length * Long.BYTES);
                        buffer.asLongBuffer().put(times);
                        return buffer.array();
                    },
                    (topic, data) -> {
                        if (data == null) {
                            return null;
                        }
                        long[] times = new long[data.length / Long.BYTES];
                        ByteBuffer.wrap(data).asLongBuffer().get(times);
                        return times;
                    });
        }
    }
}
