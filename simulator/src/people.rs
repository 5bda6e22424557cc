//! Who the customers are: names as they occur, and e-mail addresses that no two customers share.

use fake::Fake;
use fake::faker::name::raw::{FirstName, LastName};
use fake::locales::EN;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::operation::{CustomerRef, Person};

/// Draws a customer.
pub fn draw(rng: &mut ChaCha8Rng, seed: u64, customer: CustomerRef) -> Person {
    let first_name: &str = FirstName(EN).fake_with_rng(rng);
    let last_name: &str = LastName(EN).fake_with_rng(rng);
    let email = email(rng, first_name, last_name, seed, customer, 1);
    Person {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        email,
    }
}

/// Draws how a customer is called from now on: most change their address, some marry.
pub fn change(rng: &mut ChaCha8Rng, seed: u64, customer: CustomerRef, person: &Person, version: u64) -> Person {
    let mut changed = person.clone();
    if rng.random_ratio(1, 4) {
        changed.last_name = LastName(EN).fake_with_rng::<&str, _>(rng).to_owned();
    }
    changed.email = email(rng, &changed.first_name, &changed.last_name, seed, customer, version);
    changed
}

/// `ada.hopper.2a-17.v2@example.com`: the seed, the customer's number and the version make it unique. One in eight is
/// written with capitals, as people do; the same address nevertheless.
fn email(rng: &mut ChaCha8Rng, first: &str, last: &str, seed: u64, customer: CustomerRef, version: u64) -> String {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let name = format!("{}.{}", plain(first), plain(last));
    let name = if rng.random_ratio(1, 8) { name } else { name.to_lowercase() };
    let version = if version > 1 { format!(".v{version}") } else { String::new() };
    format!("{name}.{seed:x}-{}{version}@example.com", customer.0)
}
