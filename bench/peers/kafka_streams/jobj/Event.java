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
        @JsonProperty("class_name") String className,
        @JsonProperty("type_uid") int typeUid,
        @JsonProperty("severity_id") int severityId,
        String severity,
        @JsonProperty("status_id") int statusId,
        String status,
        @JsonProperty("status_code") String statusCode,
        @JsonProperty("status_detail") String statusDetail,
        long time,
        Metadata metadata,
        Actor actor,
        @JsonProperty("src_endpoint") Source source,
        @JsonProperty("dst_endpoint") Destination destination,
        @JsonProperty("connection_info") Connection connection,
        File file,
        @JsonProperty("file_result") File fileResult,
        List<Enrichment> enrichments,
        Unmapped unmapped) {

    record Metadata(
            String version,
            Product product,
            @JsonProperty("log_name") String logName,
            @JsonProperty("event_code") String eventCode,
            @JsonProperty("original_time") String originalTime,
            @JsonProperty("logged_time") long loggedTime,
            String uid) {}

    record Product(String name, @JsonProperty("vendor_name") String vendorName) {}

    record Actor(User user) {}

    record User(String name, String domain, String uid) {}

    record Source(String ip) {}

    record Destination(String hostname, @JsonProperty("svc_name") String svcName) {}

    record Connection(
            @JsonProperty("protocol_name") String protocolName,
            @JsonProperty("protocol_ver") String protocolVer,
            @JsonProperty("direction_id") int directionId) {}

    record File(
            String path,
            String name,
            String ext,
            @JsonProperty("parent_folder") String parentFolder,
            String uid,
            @JsonProperty("type_id") int typeId) {}

    record Enrichment(
            String name, String value, String type, String provider, Map<String, String> data) {}

    record Unmapped(
            String protocol, @JsonProperty("northbound_kind") String northboundKind) {}
}
