//! What retention has removed, by the names of its notes: `<table>/_retained/<generation>/<partition>/<offset>.json`.
//!
//! Before a file is deleted, the lowest offset that stays is noted, the **floor** of a partition's generation, create-only. The
//! highest one holds. What is below it was removed and is not lost: nobody misses it, and whatever of it is there still is deleted by
//! the next run.

use object_store::path::Path;

/// The folder of a table's floors.
pub(crate) fn folder(table: &str) -> Path {
    Path::from(format!("{table}/_retained"))
}

/// Where the floor of a partition's generation stands.
pub(crate) fn path_of(table: &str, partition: u32, generation: u32, floor: i64) -> Path {
    Path::from(format!("{table}/_retained/{generation:05}/{partition:05}/{floor:020}.json"))
}

/// The partition, the generation and the floor that a note's path says.
pub(crate) fn parse(path: &Path) -> Option<((u32, u32), i64)> {
    let parts: Vec<_> = path.parts().collect();
    let [table, folder, generation, partition, file] = parts.as_slice() else {
        return None;
    };
    let floor = file.as_ref().strip_suffix(".json")?.parse().ok()?;
    let (partition, generation) = (partition.as_ref().parse().ok()?, generation.as_ref().parse().ok()?);
    // As it was written: whatever else is there is none of ours.
    let is_ours = folder.as_ref() == "_retained" && floor >= 0 && path_of(table.as_ref(), partition, generation, floor) == *path;
    is_ours.then_some(((partition, generation), floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_s_path_is_read_as_it_was_written() {
        let path = path_of("bronze.accounts", 3, 2, 1_000);
        assert_eq!(
            path.as_ref(),
            "bronze.accounts/_retained/00002/00003/00000000000000001000.json"
        );
        assert_eq!(parse(&path), Some(((3, 2), 1_000)));
        for other in [
            "t/_intents/00002/00003/00000000000000001000.json",
            "t/_retained/00002/00003/1000.json",
            "t/_retained/00002/00003/-0000000000000000001.json",
            "t/_retained/00002/00003/-9223372036854775808.json",
        ] {
            assert_eq!(parse(&Path::from(other)), None, "{other}");
        }
    }
}
