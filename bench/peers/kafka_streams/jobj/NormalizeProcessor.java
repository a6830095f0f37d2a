package jobj;

import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Makes an event of each line; its uid is the place of the raw record. */
final class NormalizeProcessor extends ContextualFixedKeyProcessor<String, AuditLine, Event> {
    private final Normalizer normalizer;
    private final String origin;

    /** The origin, eleven characters, tells clusters and topics apart. */
    NormalizeProcessor(Normalizer normalizer, String origin) {
        this.normalizer = normalizer;
        this.origin = origin;
    }

    @Override
    public void process(FixedKeyRecord<String, AuditLine> line) {
        RecordMetadata place = context().recordMetadata().orElseThrow();
        String uid = origin + '-' + place.partition() + '-' + place.offset();
        Event event = normalizer.event(line.value(), uid, context().currentSystemTimeMs());
        context().forward(line.withValue(event));
    }
}
