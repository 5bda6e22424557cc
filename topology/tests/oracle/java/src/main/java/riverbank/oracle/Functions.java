package riverbank.oracle;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BinaryOperator;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/**
 * The closed set of functions that a case may name, by name and parameters: {@code ["mul_add", 3, 1, 100]}. Arithmetic wraps at 64
 * bits, and remainders are never negative. The Rust side has the same in {@code functions.rs}.
 */
final class Functions {
    private Functions() {}

    private static long parameter(JsonNode function, int at) {
        return function.get(at).longValue();
    }

    private static IllegalArgumentException unknown(JsonNode function) {
        return new IllegalArgumentException("unknown function " + function);
    }

    /** What filters and branches ask of a value. */
    static Predicate<Long> predicate(JsonNode function) {
        if (function.get(0).textValue().equals("mod_eq")) {
            long modulus = parameter(function, 1);
            long rest = parameter(function, 2);
            return value -> value != null && Math.floorMod(value, modulus) == rest;
        }
        throw unknown(function);
    }

    /** One value from one. */
    static UnaryOperator<Long> mapper(JsonNode function) {
        long first = parameter(function, 1);
        switch (function.get(0).textValue()) {
            case "mul_add":
                long add = parameter(function, 2);
                long modulus = parameter(function, 3);
                return value -> value == null ? null : Long.valueOf(Math.floorMod(value * first + add, modulus));
            case "null_if":
                return value -> value == null || Math.floorMod(value, first) == 0 ? null : value;
            default:
                throw unknown(function);
        }
    }

    /** Any number of values from one. */
    static Function<Long, List<Long>> flatMapper(JsonNode function) {
        if (!function.get(0).textValue().equals("copies")) {
            throw unknown(function);
        }
        return value -> {
            List<Long> copies = new ArrayList<>();
            for (long i = 0; value != null && i < Math.floorMod(value, 3L); i++) {
                copies.add(value + i);
            }
            return copies;
        };
    }

    /** A key from a value: {@code key_mod} always makes one, {@code fk_mod} makes none of a null or of a multiple of seven. */
    static Function<Long, String> key(JsonNode function) {
        long modulus = parameter(function, 1);
        switch (function.get(0).textValue()) {
            case "key_mod":
                return value -> value == null ? "k" : "k" + Math.floorMod(value, modulus);
            case "fk_mod":
                return value -> value == null || Math.floorMod(value, 7L) == 0 ? null : "k" + Math.floorMod(value, modulus);
            default:
                throw unknown(function);
        }
    }

    /** Reducers, aggregators, adders and subtractors: what has come together, and the value that comes (or goes). */
    static BinaryOperator<Long> fold(JsonNode function) {
        switch (function.get(0).textValue()) {
            case "sum":
                return (all, value) -> all + value;
            case "sub":
                return (all, value) -> all - value;
            case "max":
                return Math::max;
            case "last":
                return (all, value) -> value;
            case "first":
                return (all, value) -> all;
            case "chain":
                long factor = parameter(function, 1);
                return (all, value) -> all * factor + value;
            case "chain_null":
                long by = parameter(function, 1);
                return (all, value) -> {
                    long next = all * by + value;
                    return Math.floorMod(next, 5L) == 0 ? null : Long.valueOf(next);
                };
            default:
                throw unknown(function);
        }
    }

    /** Joins two sides; one that is missing counts as -1. */
    static BinaryOperator<Long> joiner(JsonNode function) {
        BinaryOperator<Long> pair = (left, right) -> (left == null ? -1 : left) * 1000 + (right == null ? -1 : right);
        switch (function.get(0).textValue()) {
            case "pair":
                return pair;
            case "pair_null":
                long modulus = parameter(function, 1);
                return (left, right) -> {
                    long both = pair.apply(left, right);
                    return Math.floorMod(both, modulus) == 0 ? null : Long.valueOf(both);
                };
            default:
                throw unknown(function);
        }
    }
}
