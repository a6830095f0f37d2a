package jobj;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The dictionaries that events are joined with, in memory: each entry by its key. */
record Dictionaries(
        Map<String, Map<String, String>> assets,
        Map<String, Map<String, String>> departments,
        Map<String, Map<String, String>> extensions) {

    static Dictionaries load(Path folder) throws IOException {
        return new Dictionaries(
                load(folder.resolve("assets.json"), "ip"),
                load(folder.resolve("departments.json"), "user"),
                load(folder.resolve("extensions.json"), "ext"));
    }

    private static Map<String, Map<String, String>> load(Path file, String key) throws IOException {
        List<Map<String, String>> rows =
                new ObjectMapper().readerForListOf(Map.class).readValue(file.toFile());
        Map<String, Map<String, String>> entries = new HashMap<>();
        for (Map<String, String> row : rows) {
            String name = row.remove(key);
            entries.put(name, row);
        }
        return entries;
    }
}
