//! Rows that add up others, from every instance that has some: of all partitions, or not at all, as lists are.

use futures::future::join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::rows::moving;
use crate::extract::Asked;
use crate::forward::{PARTITIONS, Reply};
use crate::problem::Problem;
use crate::reads::{Part, Reads, Rows, Scan, Scattered};
use crate::state::App;

/// A row that adds up others, as clients see it.
pub trait Group: Serialize + DeserializeOwned + Send + 'static {
    /// The row as the state stores have it.
    type Stored: Send;
    /// The row for clients.
    fn of(row: &Self::Stored) -> Self;
    /// Where it is among the others of an answer: sorts as the keys do, and is what a client names to go on behind it.
    fn place(&self) -> String;
    /// The row of two instances that each have a share of it. Most rows have a key in the store, so one instance has them whole.
    ///
    /// # Errors
    ///
    /// They are no shares of one row.
    fn joined(self, other: Self) -> Result<Self, Problem> {
        let _ = other;
        Err(Problem::internal(&format!("two instances have {}", self.place())))
    }
}

/// What another instance says: `next` is left out where an answer always has all rows.
#[derive(Deserialize)]
struct Body<G> {
    items: Vec<G>,
    #[serde(default)]
    next: Option<String>,
}

/// The first rows, of all instances; `place` makes of a key what [`Group::place`] makes of its row.
pub(super) async fn gather<G: Group, K: Send + 'static>(
    app: &App,
    asked: &Asked,
    limit: usize,
    place: impl FnOnce(K) -> String + Send + 'static,
    read: impl FnOnce(&dyn Reads, &Scan) -> Rows<G::Stored, K> + Send + 'static,
) -> Result<Part<G, String>, Problem> {
    if asked.is_forwarded && asked.partitions.is_empty() {
        return Err(Problem::malformed("a forwarded request for a list names its partitions").at(PARTITIONS.as_str()));
    }
    let partitions = asked.is_forwarded.then(|| asked.partitions.clone());
    let for_clients = move |reads: &dyn Reads, scan: &Scan| {
        let found = read(reads, scan)?;
        Ok(Scattered {
            value: Part {
                rows: found.value.rows.iter().map(G::of).collect(),
                until: found.value.until.map(place),
            },
            others: found.others,
            missing: found.missing,
        })
    };
    let here: Scattered<Part<G, String>> = app
        .lists
        .read(app.reads.clone(), (None, limit), partitions, for_clients)
        .await?;
    if !here.missing.is_empty() || (asked.is_forwarded && !here.others.is_empty()) {
        return Err(moving());
    }
    let mut parts = vec![here.value];
    let others = here.others.iter();
    let asked = others.map(|(instance, partitions)| app.forwarder.get(instance, &asked.path_and_query, partitions));
    for reply in join_all(asked).await {
        parts.push(part_of(&reply?)?);
    }
    merge(parts, limit)
}

/// What another instance has.
fn part_of<G: Group>(reply: &Reply) -> Result<Part<G, String>, Problem> {
    let body: Body<G> = serde_json::from_slice(&reply.body).map_err(|reason| {
        tracing::warn!(%reason, "another instance did not answer with rows");
        Problem::not_ready("the instance that has the data did not answer")
    })?;
    Ok(Part {
        rows: body.items,
        until: body.next,
    })
}

/// What the parts make together: behind where one of them was left, the others' rows are not all that there are.
fn merge<G: Group>(parts: Vec<Part<G, String>>, limit: usize) -> Result<Part<G, String>, Problem> {
    let mut until = parts.iter().filter_map(|part| part.until.clone()).min();
    let rows = parts.into_iter().flat_map(|part| part.rows);
    let mut rows: Vec<(String, G)> = rows.map(|row| (row.place(), row)).collect();
    rows.retain(|(place, _)| until.as_ref().is_none_or(|until| place <= until));
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut joined: Vec<(String, G)> = Vec::with_capacity(rows.len());
    for (place, row) in rows {
        let row = match joined.pop_if(|(last, _)| *last == place) {
            Some((_, share)) => share.joined(row)?,
            None => row,
        };
        joined.push((place, row));
    }
    let mut rows = joined;
    if rows.len() > limit {
        rows.truncate(limit);
        until = rows.last().map(|(place, _)| place.clone());
    }
    Ok(Part {
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Letter(char);

    impl Group for Letter {
        type Stored = char;
        fn of(letter: &char) -> Self {
            Self(*letter)
        }
        fn place(&self) -> String {
            self.0.to_string()
        }
    }

    fn merged(parts: &[(&str, Option<&str>)], limit: usize) -> (String, Option<String>) {
        let parts = parts.iter().map(|(rows, until)| Part {
            rows: rows.chars().map(Letter).collect(),
            until: until.map(str::to_owned),
        });
        let part = merge(parts.collect(), limit).expect("each letter is in one part");
        (part.rows.iter().map(|letter| letter.0).collect(), part.until)
    }

    #[test]
    fn no_row_is_left_out_between_two_parts() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(merged(&[("adf", None), ("bce", None)], 9), ("abcdef".to_owned(), None));
        assert_eq!(merged(&[("adf", None), ("bce", None)], 6), ("abcdef".to_owned(), None));
        assert_eq!(merged(&[("adf", None), ("bce", None)], 4), ("abcd".to_owned(), some("d")));
        // The second one may have a `d`: whoever goes on behind `c` sees it.
        assert_eq!(merged(&[("adf", None), ("bc", Some("c"))], 9), ("abc".to_owned(), some("c")));
        assert_eq!(
            merged(&[("adf", Some("f")), ("bc", Some("c"))], 2),
            ("ab".to_owned(), some("b"))
        );
        assert_eq!(merged(&[("", Some("a")), ("b", None)], 9), (String::new(), some("a")));
    }
}
