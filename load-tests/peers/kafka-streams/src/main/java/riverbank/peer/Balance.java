package riverbank.peer;

import org.apache.avro.Schema;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/**
 * What an account's postings add up to, in cents: the value of the store and of the output topic.
 *
 * <p>Immutable, and keeps its encoded form: each balance is written twice (store and output), and one that comes from
 * the store or its cache goes out as the bytes it came in.
 */
final class Balance {
    static final int SCHEMA_ID = 2;
    static final Schema SCHEMA = FlatRecord.schema(
            """
            {"type":"record","name":"Balance","namespace":"riverbank.reference","fields":[
              {"name":"account_id","type":"long"},
              {"name":"balance","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}},
              {"name":"postings","type":"long"}]}""",
            "balance");
    /** The balance before any posting. */
    static final Balance NONE = new Balance(0, 0, 0, null);

    private final long accountId;
    private final long cents;
    private final long postings;
    private byte[] encoded;

    private Balance(long accountId, long cents, long postings, byte[] encoded) {
        this.accountId = accountId;
        this.cents = cents;
        this.postings = postings;
        this.encoded = encoded;
    }

    /** The balance after {@code posting}. An overflow stops the program: money is exact. */
    Balance plus(Posting posting) {
        return new Balance(posting.accountId(), Math.addExact(cents, posting.cents()), postings + 1, null);
    }

    static Serde<Balance> serde() {
        Serializer<Balance> serializer = (topic, balance) -> balance == null ? null : balance.encode();
        Deserializer<Balance> deserializer = (topic, bytes) -> bytes == null ? null : decode(bytes);
        return Serdes.serdeFrom(serializer, deserializer);
    }

    private byte[] encode() {
        if (encoded == null) {
            int size = FlatRecord.sizeOfLong(accountId) + FlatRecord.sizeOfDecimal(cents)
                    + FlatRecord.sizeOfLong(postings);
            encoded = FlatRecord.toWrite(SCHEMA_ID, size)
                    .putLong(accountId).putDecimal(cents).putLong(postings).written();
        }
        return encoded;
    }

    private static Balance decode(byte[] bytes) {
        FlatRecord record = FlatRecord.toRead(bytes, SCHEMA_ID);
        Balance balance = new Balance(record.getLong(), record.getDecimal(), record.getLong(), bytes);
        record.end();
        return balance;
    }
}
