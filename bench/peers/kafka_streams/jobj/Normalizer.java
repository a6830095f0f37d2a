package jobj;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** Maps audit lines to the events that Northbound's Qumulo normalizer makes of them. */
final class Normalizer {
    private static final int FILE_HOSTING = 6006;
    private static final int REGULAR_FILE = 1;
    private static final int FOLDER = 2;
    private static final int INBOUND = 1;
    private static final Pattern IDENTIFIER = Pattern.compile("S-1(?:-[0-9]+)+|[0-9]+");
    private static final Event.Product PRODUCT = new Event.Product("Qumulo Core", "Qumulo");

    private record Operation(int activity, String name, int fileType) {
        Operation(int activity, String name) {
            this(activity, name, REGULAR_FILE);
        }
    }

    private static final Map<String, Operation> OPERATIONS = Map.ofEntries(
            Map.entry("fs_copy_chunk", new Operation(6, "Copy")),
            Map.entry("fs_create_directory", new Operation(1, "Upload", FOLDER)),
            Map.entry("fs_create_file", new Operation(1, "Upload")),
            Map.entry("fs_delete", new Operation(4, "Delete")),
            Map.entry("fs_list_directory", new Operation(99, "List", FOLDER)),
            Map.entry("fs_open", new Operation(14, "Open")),
            Map.entry("fs_read_data", new Operation(2, "Download")),
            Map.entry("fs_read_metadata", new Operation(99, "Read Metadata")),
            Map.entry("fs_rename", new Operation(5, "Rename")),
            Map.entry("fs_tree_delete", new Operation(4, "Delete", FOLDER)),
            Map.entry("fs_write_data", new Operation(3, "Update")),
            Map.entry("fs_write_metadata", new Operation(99, "Write Metadata")));

    private static final Map<String, Event.Connection> CONNECTIONS = Map.of(
            "nfs3", new Event.Connection("nfs", "3", INBOUND),
            "nfsv3", new Event.Connection("nfs", "3", INBOUND),
            "nfs4.1", new Event.Connection("nfs", "4.1", INBOUND),
            "nfsv4.1", new Event.Connection("nfs", "4.1", INBOUND),
            "smb", new Event.Connection("smb", null, INBOUND),
            "smb2", new Event.Connection("smb", "2", INBOUND),
            "smb3", new Event.Connection("smb", "3", INBOUND));

    private final Dictionaries dictionaries;

    Normalizer(Dictionaries dictionaries) {
        this.dictionaries = dictionaries;
    }

    Event event(AuditLine line, String uid, long loggedTime) {
        Operation operation = OPERATIONS.get(line.operation());
        if (operation == null) {
            operation = new Operation(99, line.operation());
        }
        boolean ok = line.status().equals("ok");
        boolean denied = line.status().equals("fs_access_denied_error");
        Event.User user = user(line.user());
        Event.File file = file(line.path(), line.object(), operation.fileType());
        return new Event(
                operation.activity(),
                operation.name(),
                FILE_HOSTING / 1000,
                FILE_HOSTING,
                "File Hosting Activity",
                FILE_HOSTING * 100 + operation.activity(),
                denied ? 2 : 1,
                denied ? "Low" : "Informational",
                ok ? 1 : 2,
                ok ? "Success" : "Failure",
                line.status(),
                denied ? "Access denied" : null,
                line.time(),
                new Event.Metadata(
                        "1.6.0", PRODUCT, "audit", line.operation(), line.timestamp(), loggedTime, uid),
                new Event.Actor(user),
                new Event.Source(line.address()),
                new Event.Destination(line.host(), cluster(line.host())),
                CONNECTIONS.get(line.protocol()),
                file,
                line.target().isEmpty() ? null : file(line.target(), null, operation.fileType()),
                enrichments(line.address(), user.name(), file.ext()),
                new Event.Unmapped(line.protocol(), "base"));
    }

    private static Event.User user(String logged) {
        if (IDENTIFIER.matcher(logged).matches()) {
            return new Event.User(null, null, logged);
        }
        int slash = logged.indexOf('\\');
        return slash > 0 && slash < logged.length() - 1
                ? new Event.User(logged.substring(slash + 1), logged.substring(0, slash), null)
                : new Event.User(logged, null, null);
    }

    /** Nodes are CLUSTER-number. */
    private static String cluster(String host) {
        int end = host.length();
        while (end > 0 && Character.isDigit(host.charAt(end - 1))) {
            end--;
        }
        return end > 0 && end < host.length() && host.charAt(end - 1) == '-'
                ? host.substring(0, end - 1)
                : host;
    }

    private static Event.File file(String path, String uid, int type) {
        boolean folder = path.endsWith("/");
        String bare = folder ? path.substring(0, path.length() - 1) : path;
        int slash = bare.lastIndexOf('/');
        String name = bare.substring(slash + 1);
        int dot = folder ? -1 : name.lastIndexOf('.');
        return new Event.File(
                path,
                name.isEmpty() ? path : name,
                dot > 0 && dot < name.length() - 1 ? name.substring(dot + 1) : null,
                slash > 0 ? bare.substring(0, slash) : slash == 0 ? "/" : null,
                uid,
                folder ? FOLDER : type);
    }

    private List<Event.Enrichment> enrichments(String address, String user, String ext) {
        List<Event.Enrichment> found = new ArrayList<>(3);
        add(found, "src_endpoint.ip", address, "asset", dictionaries.assets());
        add(found, "actor.user.name", user, "department", dictionaries.departments());
        add(found, "file.ext", ext, "flagged_extension", dictionaries.extensions());
        return found.isEmpty() ? null : found;
    }

    private static void add(
            List<Event.Enrichment> found,
            String field,
            String value,
            String type,
            Dictionaries.Dictionary dictionary) {
        Map<String, String> entry = value == null ? null : dictionary.entries().get(value);
        if (entry != null) {
            found.add(new Event.Enrichment(field, value, type, dictionary.version(), entry));
        }
    }
}
