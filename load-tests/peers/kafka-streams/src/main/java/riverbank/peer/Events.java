package riverbank.peer;

import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** Says on standard output what happens: one JSON object a line. Nothing here runs for each record. */
final class Events implements KafkaStreams.StateListener, StateRestoreListener {
    @Override
    public void onChange(KafkaStreams.State to, KafkaStreams.State from) {
        // States are plain words: nothing to escape.
        say("{\"event\":\"state\",\"from\":\"%s\",\"to\":\"%s\",\"at_ms\":%d}", from, to, System.currentTimeMillis());
    }

    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) {}

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long to, long records) {}

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long records) {
        say("{\"event\":\"restored\",\"store\":\"%s\",\"records\":%d,\"at_ms\":%d}", store, records,
                System.currentTimeMillis());
    }

    private static synchronized void say(String format, Object... values) {
        System.out.println(String.format(format, values));
        System.out.flush();
    }
}
