package jobj;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Maps audit lines to OCSF events, joined with the dictionaries. */
final class Normalizer {
    private static final Event.Product PRODUCT = new Event.Product("Core", "Qumulo");
    private static final Map<String, Activity> ACTIVITIES = Map.of(
            "fs_create_file", new Activity(1, "Upload"),
            "fs_create_directory", new Activity(1, "Upload"),
            "fs_read_data", new Activity(2, "Download"),
            "fs_write_data", new Activity(3, "Update"),
            "fs_delete", new Activity(4, "Delete"),
            "fs_rename", new Activity(5, "Rename"),
            "fs_open", new Activity(14, "Open"));

    private final Dictionaries dictionaries;

    Normalizer(Dictionaries dictionaries) {
        this.dictionaries = dictionaries;
    }

    private record Activity(int id, String name) {}

    Event event(AuditLine line) {
        Activity activity = ACTIVITIES.get(line.operation());
        if (activity == null) {
            activity = new Activity(99, line.operation());
        }
        int slash = line.user().indexOf('\\');
        String domain = slash < 0 ? null : line.user().substring(0, slash);
        String user = line.user().substring(slash + 1);
        Event.File file = file(line.object(), line.path());
        return new Event(
                activity.id(),
                activity.name(),
                6,
                6006,
                600600 + activity.id(),
                1,
                line.status().equals("ok") ? 1 : 2,
                line.status(),
                line.time(),
                new Event.Metadata("1.6.0", PRODUCT, line.timestamp()),
                new Event.Actor(new Event.User(user, domain)),
                new Event.Source(line.address()),
                new Event.Destination(line.host()),
                new Event.Connection(line.protocol()),
                new Event.Api(line.operation()),
                file,
                line.target().isEmpty() ? null : file(null, line.target()),
                enrichments(line.address(), user, file.ext()));
    }

    private static Event.File file(String uid, String path) {
        boolean folder = path.endsWith("/");
        String bare = folder && path.length() > 1 ? path.substring(0, path.length() - 1) : path;
        int slash = bare.lastIndexOf('/');
        String name = bare.substring(slash + 1);
        int dot = folder ? -1 : name.lastIndexOf('.');
        return new Event.File(
                uid,
                path,
                name,
                dot <= 0 ? null : name.substring(dot + 1),
                slash <= 0 ? "/" : bare.substring(0, slash),
                folder ? 2 : 1);
    }

    private List<Event.Enrichment> enrichments(String address, String user, String ext) {
        List<Event.Enrichment> found = new ArrayList<>(3);
        add(found, "src_endpoint.ip", address, dictionaries.assets());
        add(found, "actor.user.name", user, dictionaries.departments());
        add(found, "file.ext", ext, dictionaries.extensions());
        return found.isEmpty() ? null : found;
    }

    private static void add(
            List<Event.Enrichment> found,
            String field,
            String value,
            Map<String, Map<String, String>> dictionary) {
        Map<String, String> entry = value == null ? null : dictionary.get(value);
        if (entry != null) {
            found.add(new Event.Enrichment(field, value, entry));
        }
    }
}
