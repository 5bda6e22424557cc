//! What inputs look like that are accepted, for the API's document: a request that it allows is never called malformed. A test
//! holds each of these against the parsers.

use schemas::Currency;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// Printable text that is not blank.
pub const TEXT: &str =
    "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// An e-mail address.
pub const EMAIL: &str = "^[^@\\s\\u0000-\\u001f\\u007f-\\u009f]+@[^@\\s\\u0000-\\u001f\\u007f-\\u009f]+$";
/// An amount above zero.
pub const AMOUNT: &str = "^([1-9][0-9]{0,15}(\\.[0-9]{1,4})?|0\\.([1-9][0-9]{0,3}|0[1-9][0-9]{0,2}|00[1-9][0-9]?|000[1-9]))$";
/// An amount, or nothing.
pub const OPENING: &str = "^(0|[1-9][0-9]{0,15})(\\.[0-9]{1,4})?$";
/// A cursor, behind its list's name.
pub const CURSOR: &str = "-[0-9a-f]{1,16}$";
/// The entity tags of a condition.
pub const IF_MATCH: &str = "^(\\*|(W/)?\"[!#-~]*\"( ?, ?(W/)?\"[!#-~]*\")*)$";

fn text(pattern: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .examples([example])
}

/// A first name.
pub fn first_name() -> Object {
    let about = "First name; not blank.";
    text(TEXT, "Ada").max_length(Some(100)).description(Some(about)).build()
}

/// A last name.
pub fn last_name() -> Object {
    let about = "Last name; not blank.";
    text(TEXT, "Lovelace").max_length(Some(100)).description(Some(about)).build()
}

/// An e-mail address.
pub fn email() -> Object {
    let about = "E-mail address; unique without regard to case.";
    text(EMAIL, "ada@example.com")
        .max_length(Some(255))
        .description(Some(about))
        .build()
}

/// An amount above zero.
pub fn amount() -> Object {
    let about = "How much, above zero, with no more places than the account's currency has.";
    text(AMOUNT, "12.30").description(Some(about)).build()
}

/// What an account opens with.
pub fn opening() -> Object {
    let about = "What it holds at once, with no more places than its currency has; nothing if it is left out.";
    text(OPENING, "100.00").description(Some(about)).build()
}

/// The code of a currency: every one that is known.
pub fn currency() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(
            "Its currency, by ISO 4217; it stays as soon as there is a transaction on the account.",
        ))
        .enum_values(Some(currencies()))
        .examples(["EUR"])
        .build()
}

fn currencies() -> Vec<String> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    codes
        .filter_map(|code| String::from_utf8(code.to_vec()).ok())
        .filter(|code| code.parse::<Currency>().is_ok_and(|currency| currency.is_current()))
        .collect()
}
