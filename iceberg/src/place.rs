//! The lake's URL, and where its objects are by URLs of their own, as Iceberg's metadata name them.

use object_store::path::Path;
use url::Url;

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The lake of this URL. Readers take the path of a `file:` URL as it is, so spaces and the like are not escaped.
    pub fn new(url: &str) -> Self {
        let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "file");
        let folder = parsed.and_then(|url| url.to_file_path().ok());
        let text = match &folder {
            Some(folder) => format!("file://{}", folder.display()),
            None => url.to_owned(),
        };
        Self(text.trim_end_matches('/').to_owned())
    }

    /// The URL of an object or a folder.
    pub fn url_of(&self, path: &Path) -> String {
        format!("{}/{path}", self.0)
    }

    /// The object of a URL, if it is in the lake. Other writers may say `s3a:` or `s3n:` of what is `s3:`.
    pub fn path_of(&self, url: &str) -> Option<Path> {
        let own = ["s3a://", "s3n://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let (lake, url) = match (self.0.strip_prefix("s3://"), own) {
            (Some(lake), Some(url)) => (lake, url),
            _ => (self.0.as_str(), url),
        };
        let rest = url.strip_prefix(lake)?.strip_prefix('/')?;
        Path::parse(rest.trim_end_matches('/')).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_one_another_s() {
        for (lake, url) in [
            (
                "s3://bucket/some/prefix/",
                "s3://bucket/some/prefix/t/day=2026-01-02/p=00/0-9-s1.parquet",
            ),
            (
                "s3://bucket/some/prefix",
                "s3a://bucket/some/prefix/t/day=2026-01-02/p=00/0-9-s1.parquet",
            ),
            (
                "file:///var/a%20b/lake",
                "file:///var/a b/lake/t/day=2026-01-02/p=00/0-9-s1.parquet",
            ),
        ] {
            let place = Place::new(lake);
            let path = place.path_of(url).unwrap();
            assert_eq!(path.as_ref(), "t/day=2026-01-02/p=00/0-9-s1.parquet");
            assert_eq!(place.url_of(&path), url.replace("s3a:", "s3:"));
            assert_eq!(place.path_of("s3://bucket/some/prefix-of-others/t"), None);
        }
    }
}
