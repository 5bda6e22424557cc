//! Manifests and their lists, read.

use apache_avro::Reader;
use apache_avro::types::Value as Avro;

use super::{DELETED, Entry, ManifestError, ManifestFile, WRITER, optional_value};

/// The live files of a manifest that this program wrote; `None` if another did. `in_list` is what the list says of it.
pub fn read(bytes: &[u8], in_list: &ManifestFile) -> Result<Option<Vec<Entry>>, ManifestError> {
    let reader = Reader::new(bytes)?;
    if reader.user_metadata().get("writer").map(Vec::as_slice) != Some(WRITER.as_bytes()) {
        return Ok(None);
    }
    let mut entries = Vec::new();
    for value in reader {
        let entry = Fields::of(value?)?;
        if !entry.is_live()? {
            continue;
        }
        let data_file = entry.get("data_file").ok_or(ManifestError::Lacks("data_file"))?.clone();
        let file = Fields::of(data_file.clone())?;
        entries.push(Entry {
            snapshot_id: entry.long(&["snapshot_id"]).unwrap_or(in_list.snapshot_id),
            sequence_number: entry.long(&["sequence_number"]).unwrap_or(in_list.sequence_number),
            file_sequence_number: entry.long(&["file_sequence_number"]).unwrap_or(in_list.sequence_number),
            url: file.text("file_path").ok_or(ManifestError::Lacks("file_path"))?,
            rows: file.long(&["record_count"]).ok_or(ManifestError::Lacks("record_count"))?,
            bytes: file
                .long(&["file_size_in_bytes"])
                .ok_or(ManifestError::Lacks("file_size_in_bytes"))?,
            data_file,
        });
    }
    Ok(Some(entries))
}

/// The URLs of the files that a manifest has live, whoever wrote it.
pub fn urls(bytes: &[u8]) -> Result<Vec<String>, ManifestError> {
    let mut urls = Vec::new();
    for value in Reader::new(bytes)? {
        let entry = Fields::of(value?)?;
        let file = entry.get("data_file").ok_or(ManifestError::Lacks("data_file"))?;
        let file = Fields::of(file.clone())?;
        if entry.is_live()? {
            urls.push(file.text("file_path").ok_or(ManifestError::Lacks("file_path"))?);
        }
    }
    Ok(urls)
}

/// The manifests of a list, whoever wrote it.
pub fn read_list(bytes: &[u8]) -> Result<Vec<ManifestFile>, ManifestError> {
    let mut manifests = Vec::new();
    for value in Reader::new(bytes)? {
        let fields = Fields::of(value?)?;
        let long = |names: &'static [&'static str]| fields.long(names).ok_or(ManifestError::Lacks(names[0]));
        let int = |names| long(names).map(|number| number as i32);
        // Older writers have other names for the same fields.
        let files = [
            int(&["added_files_count", "added_data_files_count"])?,
            int(&["existing_files_count", "existing_data_files_count"])?,
            int(&["deleted_files_count", "deleted_data_files_count"])?,
        ];
        manifests.push(ManifestFile {
            url: fields.text("manifest_path").ok_or(ManifestError::Lacks("manifest_path"))?,
            bytes: long(&["manifest_length"])?,
            spec_id: int(&["partition_spec_id"])?,
            content: int(&["content"])?,
            sequence_number: long(&["sequence_number"])?,
            min_sequence_number: long(&["min_sequence_number"])?,
            snapshot_id: long(&["added_snapshot_id"])?,
            files,
            rows: [
                long(&["added_rows_count"])?,
                long(&["existing_rows_count"])?,
                long(&["deleted_rows_count"])?,
            ],
            partitions: fields.optional("partitions"),
            key_metadata: fields.optional("key_metadata"),
        });
    }
    Ok(manifests)
}

/// The fields of a record.
struct Fields(Vec<(String, Avro)>);

impl Fields {
    fn of(value: Avro) -> Result<Self, ManifestError> {
        match value {
            Avro::Record(fields) => Ok(Self(fields)),
            _ => Err(ManifestError::Lacks("records")),
        }
    }

    /// Whether the file of this entry is in the table.
    fn is_live(&self) -> Result<bool, ManifestError> {
        let status = self.long(&["status"]).ok_or(ManifestError::Lacks("status"))?;
        Ok(status != i64::from(DELETED))
    }

    fn get(&self, name: &str) -> Option<&Avro> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        match value {
            Avro::Union(_, inner) => Some(inner),
            other => Some(other),
        }
    }

    fn long(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| match self.get(name)? {
            Avro::Int(number) => Some(i64::from(*number)),
            Avro::Long(number) => Some(*number),
            _ => None,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Avro::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn optional(&self, name: &str) -> Avro {
        optional_value(self.get(name).filter(|value| **value != Avro::Null).cloned())
    }
}
