package riverbank.peer;

import org.apache.avro.Schema;
import org.apache.kafka.common.errors.SerializationException;

/**
 * Avro's binary encoding of flat records (longs and one decimal) behind the five bytes of the registry's framing.
 *
 * <p>Postings and balances are read and written with one schema, so no schema resolution is needed. Written by hand
 * because it is then one allocation of the exact size, and no state: the DSL shares one serde among all threads.
 */
final class FlatRecord {
    private static final int FRAME = 5;

    private final byte[] bytes;
    private int at;

    private FlatRecord(byte[] bytes) {
        this.bytes = bytes;
        this.at = FRAME;
    }

    /** Checks at start-up that a schema is what the code below writes: longs, and a decimal where {@code decimal} says. */
    static Schema schema(String json, String decimal) {
        Schema schema = new Schema.Parser().parse(json);
        for (Schema.Field field : schema.getFields()) {
            Schema.Type expected = field.name().equals(decimal) ? Schema.Type.BYTES : Schema.Type.LONG;
            if (field.schema().getType() != expected) {
                throw new IllegalArgumentException(schema.getFullName() + "." + field.name() + " is not " + expected);
            }
        }
        return schema;
    }

    /** A record to be filled with exactly {@code bodySize} bytes. */
    static FlatRecord toWrite(int schemaId, int bodySize) {
        byte[] bytes = new byte[FRAME + bodySize];
        bytes[1] = (byte) (schemaId >>> 24);
        bytes[2] = (byte) (schemaId >>> 16);
        bytes[3] = (byte) (schemaId >>> 8);
        bytes[4] = (byte) schemaId;
        return new FlatRecord(bytes);
    }

    /** A record to be read; it must be framed with {@code schemaId}. */
    static FlatRecord toRead(byte[] bytes, int schemaId) {
        if (bytes.length < FRAME || bytes[0] != 0) {
            throw new SerializationException("not framed");
        }
        int id = (bytes[1] & 0xff) << 24 | (bytes[2] & 0xff) << 16 | (bytes[3] & 0xff) << 8 | bytes[4] & 0xff;
        if (id != schemaId) {
            throw new SerializationException("schema id " + id + " where " + schemaId + " was expected");
        }
        return new FlatRecord(bytes);
    }

    static int sizeOfLong(long value) {
        long zigzag = (value << 1) ^ (value >> 63);
        return (70 - Long.numberOfLeadingZeros(zigzag | 1)) / 7;
    }

    static int sizeOfDecimal(long cents) {
        return 1 + decimalBytes(cents);
    }

    /** The bytes of the shortest two's complement form, as {@code BigInteger.toByteArray} makes it. */
    private static int decimalBytes(long cents) {
        return (64 - Long.numberOfLeadingZeros(cents ^ (cents >> 63))) / 8 + 1;
    }

    FlatRecord putLong(long value) {
        long zigzag = (value << 1) ^ (value >> 63);
        while ((zigzag & ~0x7fL) != 0) {
            bytes[at++] = (byte) (zigzag | 0x80);
            zigzag >>>= 7;
        }
        bytes[at++] = (byte) zigzag;
        return this;
    }

    FlatRecord putDecimal(long cents) {
        int length = decimalBytes(cents);
        bytes[at++] = (byte) (length << 1);
        for (int shift = (length - 1) * 8; shift >= 0; shift -= 8) {
            bytes[at++] = (byte) (cents >> shift);
        }
        return this;
    }

    byte[] written() {
        if (at != bytes.length) {
            throw new SerializationException("wrote " + at + " of " + bytes.length + " bytes");
        }
        return bytes;
    }

    long getLong() {
        long zigzag = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            byte next = next();
            zigzag |= (next & 0x7fL) << shift;
            if (next >= 0) {
                return (zigzag >>> 1) ^ -(zigzag & 1);
            }
        }
        throw new SerializationException("a long of more than ten bytes");
    }

    long getDecimal() {
        long length = getLong();
        if (length < 1 || length > 8) {
            throw new SerializationException("a decimal of " + length + " bytes");
        }
        long cents = next();
        for (long left = length - 1; left > 0; left--) {
            cents = cents << 8 | next() & 0xff;
        }
        return cents;
    }

    void end() {
        if (at != bytes.length) {
            throw new SerializationException((bytes.length - at) + " bytes too many");
        }
    }

    private byte next() {
        if (at == bytes.length) {
            throw new SerializationException("cut short");
        }
        return bytes[at++];
    }
}
