package jobj;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** Writes values as JSON without absent attributes; nothing reads them. */
final class JsonSerde<T> implements Serde<T> {
    private final ObjectMapper mapper =
            new ObjectMapper().setDefaultPropertyInclusion(JsonInclude.Include.NON_NULL);

    @Override
    public Serializer<T> serializer() {
        return (topic, value) -> {
            try {
                return mapper.writeValueAsBytes(value);
            } catch (JsonProcessingException error) {
                throw new SerializationException("cannot write " + value, error);
            }
        };
    }

    @Override
    public Deserializer<T> deserializer() {
        throw new UnsupportedOperationException("JSON is only written");
    }
}
