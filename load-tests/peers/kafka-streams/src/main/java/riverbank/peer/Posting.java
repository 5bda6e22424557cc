package riverbank.peer;

import org.apache.avro.Schema;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** One signed amount, in cents, on one account: the value of the repartition topic. */
record Posting(long transactionId, long accountId, long cents) {
    static final int SCHEMA_ID = 1;
    static final Schema SCHEMA = FlatRecord.schema(
            """
            {"type":"record","name":"Posting","namespace":"riverbank.reference","fields":[
              {"name":"transaction_id","type":"long"},
              {"name":"account_id","type":"long"},
              {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}}]}""",
            "amount");

    static Serde<Posting> serde() {
        Serializer<Posting> serializer = (topic, posting) -> posting == null ? null : posting.encode();
        Deserializer<Posting> deserializer = (topic, bytes) -> bytes == null ? null : decode(bytes);
        return Serdes.serdeFrom(serializer, deserializer);
    }

    private byte[] encode() {
        int size = FlatRecord.sizeOfLong(transactionId) + FlatRecord.sizeOfLong(accountId)
                + FlatRecord.sizeOfDecimal(cents);
        return FlatRecord.toWrite(SCHEMA_ID, size)
                .putLong(transactionId).putLong(accountId).putDecimal(cents).written();
    }

    private static Posting decode(byte[] bytes) {
        FlatRecord record = FlatRecord.toRead(bytes, SCHEMA_ID);
        Posting posting = new Posting(record.getLong(), record.getLong(), record.getDecimal());
        record.end();
        return posting;
    }
}
