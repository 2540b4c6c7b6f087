//! What `push -vv` prints of blobs.

use serde::Serialize;
use store_core::monitor;

/// How a blob came to be coded as it is.
#[derive(Debug, Serialize)]
pub(crate) struct Decision<'a> {
    path: &'a str,
    data: &'static str,
    chunks: u64,
    size: u64,
    bases_parent: u64,
    bases_votes: u64,
    bases_locality: u64,
    bases_none: u64,
    bases_full: u64,
    bases_unpaid: u64,
    weighed: Vec<Weighed>,
    codec: &'static str,
    stored: u64,
}

/// One way in which a blob could have been coded.
#[derive(Debug, Serialize)]
struct Weighed {
    codec: &'static str,
    bytes: u64,
    estimated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl<'a> From<&'a monitor::Decision> for Decision<'a> {
    fn from(decision: &'a monitor::Decision) -> Self {
        let weighed = decision.weighed.iter().map(|weighed| Weighed {
            codec: weighed.codec,
            bytes: weighed.bytes,
            estimated: weighed.estimated,
            refused: weighed.refused.map(|why| why.to_string()),
        });
        Self {
            path: &decision.path,
            data: decision.what,
            chunks: decision.chunks,
            size: decision.plain,
            bases_parent: decision.bases.parent,
            bases_votes: decision.bases.votes,
            bases_locality: decision.bases.locality,
            bases_none: decision.bases.none,
            bases_full: decision.bases.full,
            bases_unpaid: decision.bases.unpaid,
            weighed: weighed.collect(),
            codec: decision.codec.unwrap_or("left out"),
            stored: decision.stored,
        }
    }
}
