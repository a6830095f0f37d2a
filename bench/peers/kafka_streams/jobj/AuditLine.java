package jobj;

import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** One Qumulo audit line: an RFC 5424 header and eight CSV fields. */
record AuditLine(
        String timestamp,
        long time,
        String host,
        String address,
        String user,
        String protocol,
        String operation,
        String status,
        String object,
        String path,
        String target) {

    /** Reads lines; nothing writes them. */
    static final class LineSerde implements Serde<AuditLine> {
        @Override
        public Serializer<AuditLine> serializer() {
            throw new UnsupportedOperationException("audit lines are only read");
        }

        @Override
        public Deserializer<AuditLine> deserializer() {
            return (topic, data) -> data == null ? null : parse(data);
        }
    }

    static AuditLine parse(byte[] data) {
        String line = new String(data, StandardCharsets.UTF_8);
        // PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP SD SP MSG
        int version = line.indexOf(' ');
        int timestamp = line.indexOf(' ', version + 1);
        int host = line.indexOf(' ', timestamp + 1);
        int app = line.indexOf(' ', host + 1);
        int procid = line.indexOf(' ', app + 1);
        int msgid = line.indexOf(' ', procid + 1);
        if (version < 0 || timestamp < 0 || msgid < 0 || !line.startsWith("- ", msgid + 1)) {
            throw new SerializationException("not an RFC 5424 line of Qumulo: " + line);
        }
        Fields fields = new Fields(line, msgid + 3);
        String at = line.substring(version + 1, timestamp);
        return new AuditLine(
                at,
                milliseconds(at),
                line.substring(timestamp + 1, host),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next());
    }

    /** Milliseconds since the epoch of `2026-01-27T14:12:23.9558Z`, any number of fraction digits. */
    private static long milliseconds(String at) {
        if (!at.endsWith("Z")) {
            throw new SerializationException("not a time in UTC: " + at);
        }
        long day = LocalDate.of(number(at, 0, 4), number(at, 5, 7), number(at, 8, 10)).toEpochDay();
        int seconds = number(at, 11, 13) * 3600 + number(at, 14, 16) * 60 + number(at, 17, 19);
        int fraction = 0;
        for (int digit = 0; digit < 3; digit++) {
            int place = 20 + digit;
            fraction = fraction * 10 + (place < at.length() - 1 ? at.charAt(place) - '0' : 0);
        }
        return (day * 86_400 + seconds) * 1_000 + fraction;
    }

    private static int number(String text, int from, int to) {
        return Integer.parseInt(text, from, to, 10);
    }

    /** CSV fields of a line, quotes doubled inside quoted fields. */
    private static final class Fields {
        private final String line;
        private int at;

        Fields(String line, int start) {
            this.line = line;
            this.at = start;
        }

        String next() {
            return at < line.length() && line.charAt(at) == '"' ? quoted() : plain();
        }

        private String plain() {
            int end = line.indexOf(',', at);
            if (end < 0) {
                end = line.length();
            }
            String field = line.substring(Math.min(at, end), end);
            at = end + 1;
            return field;
        }

        private String quoted() {
            int start = at + 1;
            int end = line.indexOf('"', start);
            boolean doubled = false;
            while (end >= 0 && line.startsWith("\"\"", end)) {
                doubled = true;
                end = line.indexOf('"', end + 2);
            }
            if (end < 0) {
                throw new SerializationException("a quoted field does not end: " + line);
            }
            at = end + 2;
            String field = line.substring(start, end);
            return doubled ? field.replace("\"\"", "\"") : field;
        }
    }
}
