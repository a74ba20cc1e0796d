//! Lists of a cloud, page by page. What is odd is named, and a list that never ends is given up.

use std::collections::{BTreeMap, BTreeSet};

use object_store::{
    ObjectMeta,
    list::{PaginatedListOptions, PaginatedListResult},
    path::Path,
};

use super::Cloud;
use crate::{
    record::gateway::GatewayName,
    store::{Error, Listing, Oddity},
};

/// So many pages without anything new are the same page again and again.
const FRUITLESS: u32 = 1_000;

impl Cloud {
    /// The objects below a folder, or all of them.
    pub(in crate::store) async fn list(&self, under: Option<&str>) -> Result<Listing, Error> {
        let mut objects: BTreeMap<Path, ObjectMeta> = BTreeMap::new();
        let mut oddities = BTreeSet::new();
        self.each_page(under, None, |page| {
            let before = (objects.len(), oddities.len());
            oddities.extend(odd(&page));
            for meta in page.result.objects {
                if let Some(location) = self.strip(&meta.location) {
                    objects.insert(location.clone(), ObjectMeta { location, ..meta });
                }
            }
            before != (objects.len(), oddities.len())
        })
        .await?;
        Ok(Listing {
            objects: objects.into_values().collect(),
            oddities: oddities.into_iter().collect(),
        })
    }

    /// The gateways that have folders in these, in the order of their names.
    pub(in crate::store) async fn gateways(
        &self,
        tables: &[&str],
    ) -> Result<Vec<GatewayName>, Error> {
        let mut gateways = BTreeSet::new();
        for table in tables {
            self.each_page(Some(table), Some("/"), |page| {
                let before = gateways.len();
                for folder in page.result.common_prefixes {
                    let name = folder.filename().and_then(|name| name.strip_prefix("gateway="));
                    gateways.extend(name.and_then(|name| name.parse::<GatewayName>().ok()));
                }
                before != gateways.len()
            })
            .await?;
        }
        Ok(gateways.into_iter().collect())
    }

    /// The names of the folders in a folder, in their order.
    pub(in crate::store) async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let mut folders = BTreeSet::new();
        self.each_page(Some(folder), Some("/"), |page| {
            let before = folders.len();
            let names = page.result.common_prefixes.iter().filter_map(Path::filename);
            folders.extend(names.map(str::to_owned));
            before != folders.len()
        })
        .await?;
        Ok(folders.into_iter().collect())
    }

    /// Reads a list to its end. `take` says whether a page had anything new.
    async fn each_page(
        &self,
        under: Option<&str>,
        delimiter: Option<&'static str>,
        mut take: impl FnMut(PaginatedListResult) -> bool,
    ) -> Result<(), Error> {
        let folders = [self.prefix.as_ref(), under.unwrap_or_default()];
        let prefix: String = folders
            .into_iter()
            .filter(|folder| !folder.is_empty())
            .flat_map(|folder| [folder, "/"])
            .collect();
        let mut tokens = BTreeSet::new();
        let mut token: Option<String> = None;
        let mut fruitless = 0;
        loop {
            let options = PaginatedListOptions {
                delimiter: delimiter.map(Into::into),
                page_token: token,
                ..PaginatedListOptions::default()
            };
            let prefix = Some(prefix.as_str()).filter(|prefix| !prefix.is_empty());
            let listed = self.pages.0.list_paginated(prefix, options).await;
            let mut page = listed.map_err(|source| Error::List { source: source.into() })?;
            let next = page.page_token.take().filter(|token| !token.is_empty());
            fruitless = if take(page) { 0 } else { fruitless + 1 };
            let Some(next) = next else { return Ok(()) };
            if fruitless == FRUITLESS || !tokens.insert(next.clone()) {
                return Err(Error::Endless);
            }
            token = Some(next);
        }
    }

    /// A path without that of the URL.
    fn strip(&self, location: &Path) -> Option<Path> {
        Some(location.prefix_match(&self.prefix)?.collect())
    }
}

#[cfg(feature = "cloud")]
fn odd(page: &PaginatedListResult) -> Vec<Oddity> {
    let found = page.result.extensions.get::<super::sieve::Oddities>();
    found.map(|super::sieve::Oddities(oddities)| oddities.clone()).unwrap_or_default()
}

#[cfg(not(feature = "cloud"))]
fn odd(_: &PaginatedListResult) -> Vec<Oddity> {
    vec![]
}
