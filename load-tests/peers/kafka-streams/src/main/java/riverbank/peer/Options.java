package riverbank.peer;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The command line. */
record Options(String brokers, String applicationId, String input, String output, Path schemaFile, Path stateDir,
        long cacheBytes, boolean transactionalStores, long commitIntervalMs, int partitions, int threads) {
    static final String USAGE = "--brokers B --application-id ID --input TOPIC --output TOPIC --schema-file F"
            + " --state-dir DIR [--cache-bytes N (0: off)] [--transactional-stores 0|1]"
            + " [--commit-interval-ms 100] [--partitions 4] [--threads 1]";

    /** @throws IllegalArgumentException saying what is wrong. */
    static Options parse(String[] args) {
        Map<String, String> given = new HashMap<>();
        for (int at = 0; at < args.length; at += 2) {
            if (!args[at].startsWith("--") || at + 1 == args.length) {
                throw new IllegalArgumentException("expected --name value at " + args[at]);
            }
            if (given.put(args[at].substring(2), args[at + 1]) != null) {
                throw new IllegalArgumentException(args[at] + " is given twice");
            }
        }
        Options options = new Options(required(given, "brokers"), required(given, "application-id"),
                required(given, "input"), required(given, "output"), Path.of(required(given, "schema-file")),
                Path.of(required(given, "state-dir")), number(given, "cache-bytes", 0, 0),
                number(given, "transactional-stores", 0, 0) > 0,
                number(given, "commit-interval-ms", 100, 1), Math.toIntExact(number(given, "partitions", 4, 1)),
                Math.toIntExact(number(given, "threads", 1, 1)));
        if (!given.isEmpty()) {
            throw new IllegalArgumentException("unknown: " + given.keySet());
        }
        return options;
    }

    private static String required(Map<String, String> given, String name) {
        String value = given.remove(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    private static long number(Map<String, String> given, String name, long otherwise, long least) {
        String value = given.remove(name);
        try {
            long number = value == null ? otherwise : Long.parseLong(value);
            if (number >= least) {
                return number;
            }
        } catch (NumberFormatException error) {
            // Said below.
        }
        throw new IllegalArgumentException("--" + name + " must be a number of at least " + least + ": " + value);
    }
}
