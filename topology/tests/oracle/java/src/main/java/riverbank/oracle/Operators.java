package riverbank.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BinaryOperator;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.BranchedKStream;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** One arm for each operator: what it is in Kafka Streams' DSL. */
final class Operators {
    private Operators() {}

    static Object apply(Case to, JsonNode node) {
        String id = node.get("id").textValue();
        switch (node.get("op").textValue()) {
            case "stream":
                return to.builder.<String, Long>stream(text(node, "topic"));
            case "table":
                return to.builder.<String, Long>table(text(node, "topic"), store(node));
            case "filter":
                return stream(to, node).filter((key, value) -> predicate(node).test(value));
            case "filter_not":
                return stream(to, node).filterNot((key, value) -> predicate(node).test(value));
            case "map": {
                Function<Long, String> rekey = Functions.key(node.get("key"));
                UnaryOperator<Long> map = Functions.mapper(node.get("fn"));
                return stream(to, node).map((key, value) -> KeyValue.pair(rekey.apply(value), map.apply(value)));
            }
            case "flat_map": {
                Function<Long, String> rekey = Functions.key(node.get("key"));
                Function<Long, List<Long>> map = Functions.flatMapper(node.get("fn"));
                return stream(to, node).flatMap((key, value) -> map.apply(value).stream()
                        .map(each -> KeyValue.pair(rekey.apply(each), each)).toList());
            }
            case "map_values": {
                UnaryOperator<Long> map = Functions.mapper(node.get("fn"));
                return stream(to, node).mapValues(value -> map.apply(value));
            }
            case "flat_map_values": {
                Function<Long, List<Long>> map = Functions.flatMapper(node.get("fn"));
                return stream(to, node).flatMapValues(value -> map.apply(value));
            }
            case "select_key": {
                Function<Long, String> rekey = Functions.key(node.get("key"));
                return stream(to, node).selectKey((key, value) -> rekey.apply(value));
            }
            case "peek":
                return stream(to, node).peek((key, value) -> to.peeked.accept(id, pair(key, value)));
            case "for_each":
                stream(to, node).foreach((key, value) -> to.peeked.accept(id, pair(key, value)));
                return "the end";
            case "merge":
                return stream(to, node).merge(to.<KStream<String, Long>>input(node, 1));
            case "split":
                return split(stream(to, node), node, id);
            case "branch":
                return to.<List<KStream<String, Long>>>input(node, 0).get(node.get("index").intValue());
            case "repartition":
                return stream(to, node).repartition(Repartitioned.as(id));
            case "process":
                return stream(to, node).process(new Totals(text(node, "store"), millis(node, "every")));
            case "to":
                stream(to, node).to(text(node, "topic"));
                return "the end";
            case "to_by": {
                String topic = text(node, "topic");
                Function<Long, String> suffix = Functions.key(node.get("key"));
                stream(to, node).to((key, value, context) -> topic + "-" + suffix.apply(value));
                return "the end";
            }
            case "to_table":
                return stream(to, node).toTable(Named.as(id), store(node));
            case "group_by_key":
                return stream(to, node).groupByKey(Grouped.as(id));
            case "group_by": {
                Function<Long, String> rekey = Functions.key(node.get("key"));
                return stream(to, node).groupBy((key, value) -> rekey.apply(value), Grouped.as(id));
            }
            case "count":
                return to.<KGroupedStream<String, Long>>input(node, 0).count(store(node));
            case "reduce": {
                BinaryOperator<Long> fold = Functions.fold(node.get("fn"));
                return to.<KGroupedStream<String, Long>>input(node, 0).reduce(fold::apply, store(node));
            }
            case "aggregate": {
                BinaryOperator<Long> fold = Functions.fold(node.get("fn"));
                return to.<KGroupedStream<String, Long>>input(node, 0)
                        .aggregate(initial(node), (key, value, all) -> fold.apply(all, value), store(node));
            }
            case "cogroup":
                return cogroup(to, node);
            case "table_filter":
                return filtered(table(to, node), predicate(node), node);
            case "table_filter_not":
                return filteredNot(table(to, node), predicate(node), node);
            case "table_map_values":
                return mapped(table(to, node), Functions.mapper(node.get("fn")), node);
            case "to_stream":
                return table(to, node).toStream();
            case "table_group_by": {
                Function<Long, String> rekey = Functions.key(node.get("key"));
                return table(to, node).groupBy((key, value) -> KeyValue.pair(rekey.apply(value), value), Grouped.as(id));
            }
            case "table_count":
                return to.<KGroupedTable<String, Long>>input(node, 0).count(store(node));
            case "table_reduce":
                return to.<KGroupedTable<String, Long>>input(node, 0).reduce(
                        Functions.fold(node.get("fn"))::apply, Functions.fold(node.get("sub"))::apply, store(node));
            case "table_aggregate": {
                BinaryOperator<Long> add = Functions.fold(node.get("fn"));
                BinaryOperator<Long> subtract = Functions.fold(node.get("sub"));
                return to.<KGroupedTable<String, Long>>input(node, 0).aggregate(initial(node),
                        (key, value, all) -> add.apply(all, value), (key, value, all) -> subtract.apply(all, value), store(node));
            }
            case "join":
                return stream(to, node).join(to.<KTable<String, Long>>input(node, 1), joiner(node), joined(node, id));
            case "left_join":
                return stream(to, node).leftJoin(to.<KTable<String, Long>>input(node, 1), joiner(node), joined(node, id));
            case "table_join": {
                KTable<String, Long> other = to.input(node, 1);
                return node.has("store") ? table(to, node).join(other, joiner(node), store(node)) : table(to, node).join(other, joiner(node));
            }
            case "table_left_join": {
                KTable<String, Long> other = to.input(node, 1);
                return node.has("store") ? table(to, node).leftJoin(other, joiner(node), store(node))
                        : table(to, node).leftJoin(other, joiner(node));
            }
            case "table_outer_join": {
                KTable<String, Long> other = to.input(node, 1);
                return node.has("store") ? table(to, node).outerJoin(other, joiner(node), store(node))
                        : table(to, node).outerJoin(other, joiner(node));
            }
            case "fk_join": {
                KTable<String, Long> other = to.input(node, 1);
                Function<Long, String> key = Functions.key(node.get("key"));
                return node.has("store") ? table(to, node).join(other, key, joiner(node), store(node))
                        : table(to, node).join(other, key, joiner(node));
            }
            case "fk_left_join": {
                KTable<String, Long> other = to.input(node, 1);
                Function<Long, String> key = Functions.key(node.get("key"));
                return node.has("store") ? table(to, node).leftJoin(other, key, joiner(node), store(node))
                        : table(to, node).leftJoin(other, key, joiner(node));
            }
            default:
                throw new IllegalArgumentException("unknown operator " + node);
        }
    }

    private static List<KStream<String, Long>> split(KStream<String, Long> stream, JsonNode node, String id) {
        BranchedKStream<String, Long> split = stream.split(Named.as(id + "-"));
        int count = 0;
        for (JsonNode function : node.get("fns")) {
            Predicate<Long> takes = Functions.predicate(function);
            split = split.branch((key, value) -> takes.test(value), Branched.as(Integer.toString(count++)));
        }
        Map<String, KStream<String, Long>> branches = split.defaultBranch(Branched.as(Integer.toString(count)));
        List<KStream<String, Long>> inOrder = new ArrayList<>();
        for (int i = 0; i <= count; i++) {
            inOrder.add(branches.get(id + "-" + i));
        }
        return inOrder;
    }

    private static KTable<String, Long> cogroup(Case to, JsonNode node) {
        CogroupedKStream<String, Long> all = null;
        for (int i = 0; i < node.get("in").size(); i++) {
            BinaryOperator<Long> fold = Functions.fold(node.get("fns").get(i));
            KGroupedStream<String, Long> grouped = to.input(node, i);
            all = all == null ? grouped.cogroup((key, value, sum) -> fold.apply(sum, value))
                    : all.cogroup(grouped, (key, value, sum) -> fold.apply(sum, value));
        }
        return all.aggregate(initial(node), store(node));
    }

    private static KTable<String, Long> filtered(KTable<String, Long> table, Predicate<Long> keeps, JsonNode node) {
        return node.has("store") ? table.filter((key, value) -> keeps.test(value), store(node))
                : table.filter((key, value) -> keeps.test(value));
    }

    private static KTable<String, Long> filteredNot(KTable<String, Long> table, Predicate<Long> drops, JsonNode node) {
        return node.has("store") ? table.filterNot((key, value) -> drops.test(value), store(node))
                : table.filterNot((key, value) -> drops.test(value));
    }

    private static KTable<String, Long> mapped(KTable<String, Long> table, UnaryOperator<Long> map, JsonNode node) {
        return node.has("store") ? table.mapValues(value -> map.apply(value), store(node)) : table.mapValues(value -> map.apply(value));
    }

    private static KStream<String, Long> stream(Case to, JsonNode node) {
        return to.input(node, 0);
    }

    private static KTable<String, Long> table(Case to, JsonNode node) {
        return to.input(node, 0);
    }

    private static Predicate<Long> predicate(JsonNode node) {
        return Functions.predicate(node.get("fn"));
    }

    private static ValueJoiner<Long, Long, Long> joiner(JsonNode node) {
        return Functions.joiner(node.get("fn"))::apply;
    }

    private static org.apache.kafka.streams.kstream.Initializer<Long> initial(JsonNode node) {
        long initial = node.get("init").longValue();
        return () -> initial;
    }

    private static Joined<String, Long, Long> joined(JsonNode node, String id) {
        Joined<String, Long, Long> joined = Joined.as(id);
        return node.has("grace") ? joined.withGracePeriod(millis(node, "grace")) : joined;
    }

    /** In memory, apart from the versioned ones, of which Kafka Streams has none in memory. */
    private static Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store(JsonNode node) {
        String name = text(node, "store");
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store = node.has("versioned")
                ? Materialized.as(Stores.persistentVersionedKeyValueStore(name, millis(node, "versioned")))
                : Materialized.as(Stores.inMemoryKeyValueStore(name));
        return store.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()).withCachingDisabled();
    }

    private static String text(JsonNode node, String field) {
        return node.get(field).textValue();
    }

    private static Duration millis(JsonNode node, String field) {
        return Duration.ofMillis(node.get(field).longValue());
    }

    private static ArrayNode pair(String key, Long value) {
        return JsonNodeFactory.instance.arrayNode().add(key).add(value);
    }
}
