//! What `push -vv` prints of blobs.

use serde::Serialize;
use store_core::monitor;

use super::BaseWays;

/// How a blob came to be coded as it is.
#[derive(Debug, Serialize)]
pub(crate) struct Decision<'a> {
    path: &'a str,
    data: &'static str,
    chunks: u64,
    size: u64,
    #[serde(flatten)]
    bases: BaseWays,
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
            bases: decision.bases.into(),
            weighed: weighed.collect(),
            codec: decision.codec.unwrap_or("left out"),
            stored: decision.stored,
        }
    }
}
