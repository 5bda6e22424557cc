//! What a file of the table covers, by its path: one of the sink's, or one that was merged of those.

use jiff::civil::Date;
use object_store::path::Path;
use sinks::parquet::layout::FileName;

/// The folder of merged files, beside the lake's tables.
const FOLDER: &str = "_iceberg";

/// The merged files of a table. Its id is in it: two catalogs over one lake have different ones, and neither tidies the other's.
pub(crate) fn folder(table: &str, id: &str) -> Path {
    Path::from(format!("{FOLDER}/{table}/{id}"))
}

/// What a file covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The partition of the table's topic.
    pub partition: u32,
    /// Which of the topics that had the table's name.
    pub generation: u32,
    /// The UTC day of its rows.
    pub day: Date,
    /// The first offset.
    pub start: i64,
    /// The last offset.
    pub end: i64,
    /// Whether it was merged.
    pub is_merged: bool,
}

impl Spot {
    /// The file at this place; `folder` has the table's merged ones.
    pub fn of(path: &Path, table: &str, folder: &Path) -> Option<Self> {
        if let Some(name) = FileName::parse(path).filter(|name| name.table == table) {
            return Some(Self {
                partition: name.partition,
                generation: name.generation,
                day: name.day,
                start: name.start,
                end: name.end,
                is_merged: false,
            });
        }
        let parts: Vec<_> = path.prefix_match(folder)?.collect();
        let [day, partition, file] = parts.as_slice() else {
            return None;
        };
        let (range, id) = file.as_ref().strip_suffix(".parquet")?.rsplit_once('-')?;
        let (generation, range) = range.strip_prefix('g')?.split_once('-')?;
        let (start, end) = range.split_once('-')?;
        uuid::Uuid::try_parse(id).ok()?;
        Some(Self {
            partition: partition.as_ref().strip_prefix("p=")?.parse().ok()?,
            generation: generation.parse().ok()?,
            day: day.as_ref().strip_prefix("day=")?.parse().ok()?,
            start: start.parse().ok()?,
            end: end.parse().ok()?,
            is_merged: true,
        })
    }

    /// A name for a file of this, which no other has.
    pub fn draw(&self, folder: &Path) -> Path {
        let Self {
            partition,
            generation,
            day,
            start,
            end,
            ..
        } = self;
        let id = uuid::Uuid::new_v4().simple();
        let file = format!("day={day}/p={partition:02}/g{generation}-{start}-{end}-{id}.parquet");
        Path::from(format!("{folder}/{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_file_is_none_of_the_sink_s() {
        let folder = folder("bronze.accounts", "0a-1b");
        let sink = Path::from("bronze.accounts/day=2026-01-02/p=03/g2-10-19-s1.parquet");
        let spot = Spot::of(&sink, "bronze.accounts", &folder).unwrap();
        assert_eq!((spot.generation, spot.start, spot.end, spot.is_merged), (2, 10, 19, false));
        assert_eq!(Spot::of(&sink, "bronze.others", &folder), None);
        let merged = Spot { is_merged: true, ..spot };
        let path = merged.draw(&folder);
        assert!(
            path.as_ref()
                .starts_with("_iceberg/bronze.accounts/0a-1b/day=2026-01-02/p=03/g2-10-19-")
        );
        assert_eq!(Spot::of(&path, "bronze.accounts", &folder), Some(merged));
        assert_eq!(FileName::parse(&path), None);
        for path in [
            "x.parquet",
            "day=2026-01-02/p=03/g2-10-19-s1.parquet",
            "day=2026-01-02/p=03/10-19.parquet",
        ] {
            let path = Path::from(format!("{folder}/{path}"));
            assert_eq!(Spot::of(&path, "bronze.accounts", &folder), None, "{path}");
        }
    }
}
