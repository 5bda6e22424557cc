//! An account's identifier, as it stands in addresses and in tokens.

use url::Url;

/// An account, such as `myorg-bank` or `xy12345.eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// Takes an identifier; an error, as text, if it cannot be one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = text.strip_suffix(".snowflakecomputing.com").unwrap_or(text);
        match !name.is_empty() && name.chars().all(is_name) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            true => Ok(Self(name.to_owned())),
            false => Err(format!(
                "must be an account identifier such as myorg-bank or xy12345.eu-central-1, not \"{text}\""
            )),
        }
    }

    /// As it stands in tokens: upper case, without the region (of a locator), or without what follows the first hyphen (of a
    /// `.global` address).
    pub fn in_token(&self) -> String {
        let end = match self.0.contains(".global") {
            true => '-',
            false => '.',
        };
        let name = self.0.split(end).next().unwrap_or(&self.0);
        name.to_ascii_uppercase()
    }

    /// Where it is reached: an underscore of the name is a hyphen there.
    pub fn url(&self) -> Url {
        let host = self.0.to_ascii_lowercase().replace('_', "-");
        Url::parse(&format!("https://{host}.snowflakecomputing.com")).expect("letters, digits, dots and hyphens make a host")
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_account_has_no_region() {
        for (text, in_token, host) in [
            ("myorg-bank", "MYORG-BANK", "myorg-bank.snowflakecomputing.com"),
            ("myorg-my_bank", "MYORG-MY_BANK", "myorg-my-bank.snowflakecomputing.com"),
            ("xy12345", "XY12345", "xy12345.snowflakecomputing.com"),
            (
                "xy12345.eu-central-1.aws",
                "XY12345",
                "xy12345.eu-central-1.aws.snowflakecomputing.com",
            ),
            ("bank-x9.global", "BANK", "bank-x9.global.snowflakecomputing.com"),
            (
                "xy12345.eu-west-1.snowflakecomputing.com",
                "XY12345",
                "xy12345.eu-west-1.snowflakecomputing.com",
            ),
        ] {
            let account = Account::parse(text).unwrap();
            assert_eq!(account.in_token(), in_token, "{text}");
            assert_eq!(account.url().host_str(), Some(host), "{text}");
        }
        for text in ["", "https://x", "a/b", ".x", "a b"] {
            assert!(Account::parse(text).is_err(), "{text}");
        }
    }
}
