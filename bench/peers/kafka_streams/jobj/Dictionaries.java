package jobj;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** The dictionaries that events are joined with, in memory: each entry by its key. */
record Dictionaries(
        Dictionary assets, Dictionary departments, Dictionary extensions) {

    /** `version`: the file's name and the beginning of its SHA-256, which events carry. */
    record Dictionary(String version, Map<String, Map<String, String>> entries) {}

    static Dictionaries none() {
        Dictionary empty = new Dictionary("", Map.of());
        return new Dictionaries(empty, empty, empty);
    }

    static Dictionaries load(Path folder) throws IOException {
        return new Dictionaries(
                load(folder.resolve("assets.json"), "ip"),
                load(folder.resolve("departments.json"), "user"),
                load(folder.resolve("extensions.json"), "ext"));
    }

    private static Dictionary load(Path file, String key) throws IOException {
        byte[] content = Files.readAllBytes(file);
        List<Map<String, String>> rows =
                new ObjectMapper().readerForListOf(Map.class).readValue(content);
        Map<String, Map<String, String>> entries = new HashMap<>();
        for (Map<String, String> row : rows) {
            String name = row.remove(key);
            entries.put(name, row);
        }
        return new Dictionary(file.getFileName() + "@" + digest(content), entries);
    }

    private static String digest(byte[] content) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(content);
            return HexFormat.of().formatHex(hash, 0, 6);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
