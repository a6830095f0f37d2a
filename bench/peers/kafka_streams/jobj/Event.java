package jobj;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;
import java.util.Map;

/** An OCSF 1.6.0 event of class File Hosting Activity (6006); absent attributes are null. */
record Event(
        @JsonProperty("activity_id") int activityId,
        @JsonProperty("activity_name") String activityName,
        @JsonProperty("category_uid") int categoryUid,
        @JsonProperty("class_uid") int classUid,
        @JsonProperty("type_uid") int typeUid,
        @JsonProperty("severity_id") int severityId,
        @JsonProperty("status_id") int statusId,
        @JsonProperty("status_code") String statusCode,
        long time,
        Metadata metadata,
        Actor actor,
        @JsonProperty("src_endpoint") Source source,
        @JsonProperty("dst_endpoint") Destination destination,
        @JsonProperty("connection_info") Connection connection,
        Api api,
        File file,
        @JsonProperty("file_result") File fileResult,
        List<Enrichment> enrichments) {

    record Metadata(String version, Product product, @JsonProperty("original_time") String originalTime) {}

    record Product(String name, @JsonProperty("vendor_name") String vendorName) {}

    record Actor(User user) {}

    record User(String name, String domain) {}

    record Source(String ip) {}

    record Destination(String hostname) {}

    record Connection(@JsonProperty("protocol_name") String protocolName) {}

    record Api(String operation) {}

    record File(
            String uid,
            String path,
            String name,
            String ext,
            @JsonProperty("parent_folder") String parentFolder,
            @JsonProperty("type_id") Integer typeId) {}

    record Enrichment(String name, String value, Map<String, String> data) {}
}
