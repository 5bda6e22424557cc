package riverbank.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.util.function.BiConsumer;
import org.apache.kafka.streams.StreamsBuilder;

/** The topology under construction: Kafka Streams' builder, the operators so far by id, and who hears what is peeked at. */
final class Case {
    final StreamsBuilder builder = new StreamsBuilder();
    /** Given the node's id and a key with its value. */
    final BiConsumer<String, ArrayNode> peeked;
    private final java.util.Map<String, Object> made = new java.util.HashMap<>();

    Case(JsonNode nodes, BiConsumer<String, ArrayNode> peeked) {
        this.peeked = peeked;
        for (JsonNode node : nodes) {
            made.put(node.get("id").textValue(), Operators.apply(this, node));
        }
    }

    /** What an input of the node is, as the kind of stream or table that the operator needs. */
    @SuppressWarnings("unchecked")
    <T> T input(JsonNode node, int at) {
        String id = node.get("in").get(at).textValue();
        Object found = made.get(id);
        if (found == null) {
            throw new IllegalArgumentException("no node " + id);
        }
        return (T) found;
    }
}
