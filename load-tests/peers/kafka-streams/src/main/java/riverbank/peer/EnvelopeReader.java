package riverbank.peer;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.errors.SerializationException;

/**
 * Reads the few fields of a change envelope that postings are made of.
 *
 * <p>Avro's fast reader with a projected schema: the other fields are skipped, never built. Decoder and records are
 * reused, so an envelope leaves next to nothing behind. (Specific records were tried: the fast reader is slower with
 * them.) Not thread-safe: one for each task.
 */
final class EnvelopeReader {
    private static final int FRAME = 5;
    private static final Utf8 DEPOSIT = new Utf8("DEPOSIT");
    private static final int BEFORE = 0;
    private static final int AFTER = 1;
    private static final int ID = 0;
    private static final int ACCOUNT_ID = 1;
    private static final int TYPE = 2;
    private static final int AMOUNT = 3;

    private final GenericDatumReader<GenericRecord> reader;
    private BinaryDecoder decoder;
    private GenericRecord envelope;

    /** A reader of envelopes that were written with {@code writer}. */
    EnvelopeReader(Schema writer) {
        GenericData data = new GenericData();
        data.setFastReaderEnabled(true);
        reader = new GenericDatumReader<>(writer, projection(writer), data);
    }

    /** Reads the next envelope; it stays readable until the next call. */
    void read(byte[] framed) {
        if (framed.length < FRAME || framed[0] != 0) {
            throw new SerializationException("an envelope without framing");
        }
        decoder = DecoderFactory.get().binaryDecoder(framed, FRAME, framed.length - FRAME, decoder);
        try {
            envelope = reader.read(envelope, decoder);
        } catch (IOException error) {
            throw new SerializationException("an envelope that does not fit its schema", error);
        }
    }

    /** What takes back the row before the change, or null. */
    Posting takenBack() {
        GenericRecord row = (GenericRecord) envelope.get(BEFORE);
        return row == null ? null : posting(row, -signed(row));
    }

    /** What the row after the change says, or null. */
    Posting said() {
        GenericRecord row = (GenericRecord) envelope.get(AFTER);
        return row == null ? null : posting(row, signed(row));
    }

    private static Posting posting(GenericRecord row, long cents) {
        return new Posting((Long) row.get(ID), (Long) row.get(ACCOUNT_ID), cents);
    }

    private static long signed(GenericRecord row) {
        long amount = cents((ByteBuffer) row.get(AMOUNT));
        return DEPOSIT.equals(row.get(TYPE)) ? amount : -amount;
    }

    /** A decimal of scale 4; the source's amounts of at most 20 digits fit in a long up to 18 of them. */
    private static long cents(ByteBuffer decimal) {
        int from = decimal.position();
        int to = decimal.limit();
        if (to == from || to - from > 8) {
            throw new SerializationException("an amount of " + (to - from) + " bytes");
        }
        long cents = decimal.get(from);
        for (int at = from + 1; at < to; at++) {
            cents = cents << 8 | decimal.get(at) & 0xff;
        }
        return cents;
    }

    /** The reader's schema, under the writer's names: a record is matched by its name. */
    private static Schema projection(Schema writer) {
        Schema rows = rows(writer);
        Schema row = Schema.createRecord(rows.getName(), null, rows.getNamespace(), false, List.of(
                new Schema.Field("id", Schema.create(Schema.Type.LONG)),
                new Schema.Field("account_id", Schema.create(Schema.Type.LONG)),
                new Schema.Field("txn_type", Schema.create(Schema.Type.STRING)),
                new Schema.Field("amount", Schema.create(Schema.Type.BYTES))));
        Schema maybe = Schema.createUnion(Schema.create(Schema.Type.NULL), row);
        return Schema.createRecord(writer.getName(), null, writer.getNamespace(), false, List.of(
                new Schema.Field("before", maybe), new Schema.Field("after", maybe)));
    }

    private static Schema rows(Schema writer) {
        Schema.Field before = writer.getField("before");
        if (before == null || before.schema().getType() != Schema.Type.UNION) {
            throw new IllegalArgumentException("the schema is not that of a change envelope");
        }
        Schema row = before.schema().getTypes().stream().filter(type -> type.getType() == Schema.Type.RECORD)
                .findFirst().orElseThrow(() -> new IllegalArgumentException("the envelope has no rows"));
        Object scale = row.getField("amount") == null ? null : row.getField("amount").schema().getObjectProp("scale");
        if (!Integer.valueOf(4).equals(scale)) {
            throw new IllegalArgumentException("the rows' amount has the scale " + scale + ", not 4");
        }
        return row;
    }
}
