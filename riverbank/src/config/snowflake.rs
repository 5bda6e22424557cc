//! What the settings of the warehouse need of each other, and what they make: the key, the names of pipes.

use reqwest::Url;
use warehouse::notifier::PipeRule;
use warehouse::snowflake::KeyPair;

use super::reader::Reader;
use super::settings::{SnowflakeSettings, SnowpipeSettings};
use super::value::Secret;

impl SnowflakeSettings {
    /// The key, if there is one.
    pub fn key(&self) -> Option<Result<KeyPair, warehouse::snowflake::KeyError>> {
        let passphrase = self.private_key_passphrase.as_ref().map(Secret::reveal);
        let key = self.private_key.as_ref()?;
        Some(KeyPair::from_pem(key.reveal(), passphrase))
    }

    /// That somebody can log in.
    pub(super) fn check(&self, reader: &mut Reader, why: &str) {
        for needed in ["snowflake.account", "snowflake.user", "snowflake.private_key"] {
            if !reader.is_set(needed) {
                reader.problem(needed, format!("is missing: {why}"));
            }
        }
        if let Some(Err(error)) = self.key() {
            reader.problem("snowflake.private_key", format!("cannot be used: {error}"));
        }
    }
}

impl SnowpipeSettings {
    /// The rule by which tables have pipes.
    pub fn rule(&self, database: &str) -> Result<PipeRule, String> {
        PipeRule::new(&self.pipe.replace("{DATABASE}", database))
    }

    pub(super) fn check(&self, reader: &mut Reader, sink: &Url) {
        if !self.enabled {
            return;
        }
        if sink.scheme() != "s3" {
            reader.problem(
                "sink.url",
                "must be s3://: snowpipe.enabled is true, and Snowflake reads no folders of this machine",
            );
        }
        if self.listen.is_some() && !reader.is_set("snowpipe.webhook_token") {
            reader.problem(
                "snowpipe.webhook_token",
                "is missing: snowpipe.listen is set, and events without a token are refused",
            );
        }
        if self.topic.is_some() && !reader.is_set("kafka.brokers") {
            reader.problem("kafka.brokers", "is missing: snowpipe.topic is a topic of it");
        }
    }
}
