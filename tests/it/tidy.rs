//! The rules of the house that a compiler does not check: who may use whom, what every file says first, what
//! is documented, what is frozen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eider::campaign::matrix::{MESSAGE, OPERATIONS};
use sha2::{Digest as _, Sha256};

/// Modules that anybody but `domain` may use.
const LEAVES: [&str; 5] = ["clock", "config", "http", "secret", "vault"];

/// What each module may use besides itself and the leaves. `app` and `cli` may use everything.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("campaign", &["channels", "domain", "sim", "store", "sync"]),
    ("channels", &["domain"]),
    ("clock", &[]),
    ("config", &[]),
    // What commands ask of a running appliance: it answers from the store and the vault.
    ("control", &["domain", "store"]),
    ("documents", &["domain"]),
    ("domain", &[]),
    ("http", &[]),
    ("notify", &["domain"]),
    ("reports", &["domain", "store"]),
    ("secret", &[]),
    ("sim", &[]),
    ("store", &["domain"]),
    ("sync", &["channels", "documents", "domain", "notify", "store"]),
    // The vault keeps the roles of users and tokens.
    ("vault", &["domain"]),
];

/// What `web` may use; of the channels only their names.
const WEB_MAY_USE: [&str; 7] =
    ["channels::registry", "documents", "domain", "notify", "reports", "store", "sync"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["common", "helper", "helpers", "misc", "util", "utils", "shared"];

/// Migrations that a release has carried to somebody's file: name and SHA-256. A line is added with each
/// release and never changed.
const RELEASED_MIGRATIONS: [(&str, &str); 0] = [];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with this extension, as a path from the root.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} below {folder}");
    found
}

pub fn text_of(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The folder or file directly below `src` that `path` belongs to.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    Path::new(below.iter().next().unwrap()).with_extension("").to_string_lossy().into_owned()
}

/// The first two steps of every path from the root of the crate that `code` names, as `channels::registry`.
fn uses(code: &str) -> BTreeSet<String> {
    let without_comments: Vec<&str> =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code: String = without_comments.join("\n").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for (position, _) in code.match_indices("crate::") {
        let before = code[..position].chars().next_back();
        // `$crate::` and `my_crate::` are something else.
        if !before.is_some_and(|character| character.is_alphanumeric() || matches!(character, '_' | '$')) {
            collect_paths(&code[position + "crate::".len()..], "", 2, &mut found);
        }
    }
    found
}

/// Reads a path, or a group of paths in braces, up to `depth` steps, and returns what follows it.
fn collect_paths<'a>(code: &'a str, prefix: &str, depth: usize, found: &mut BTreeSet<String>) -> &'a str {
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = collect_paths(rest.trim_start(), prefix, depth, found);
            // Past whatever is left of this path: deeper groups, `as` names.
            let mut nesting = 0usize;
            let end = rest.find(|character| {
                match character {
                    '{' => nesting += 1,
                    '}' if nesting > 0 => nesting -= 1,
                    ',' | '}' if nesting == 0 => return true,
                    _ => {}
                }
                false
            });
            let Some(end) = end else { return "" };
            let is_last = rest[end..].starts_with('}');
            rest = rest[end + 1..].trim_start();
            if is_last {
                return rest;
            }
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
        }
    }
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(deeper) if depth > 1 => collect_paths(deeper, &path, depth - 1, found),
        _ => {
            found.insert(path);
            rest
        }
    }
}

/// Why `module` may not use `used`, if it may not.
fn is_forbidden(module: &str, used: &str) -> bool {
    let first = used.split("::").next().unwrap_or_default();
    if matches!(module, "app" | "cli" | "lib" | "main") || first == module {
        return false;
    }
    if LEAVES.contains(&first) {
        return module == "domain";
    }
    if module == "web" {
        return !WEB_MAY_USE.iter().any(|allowed| *allowed == first || *allowed == used);
    }
    let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == module).unwrap_or_else(|| {
        panic!("src/{module} is not in the list of modules: say in tests/it/tidy.rs what it may use")
    });
    !allowed.contains(&first)
}

/// The platform whose folder `path` lies in.
fn platform_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix("src/channels").ok()?;
    let (folder, file) = (below.iter().next()?, below.iter().nth(1));
    file.map(|_| folder.to_string_lossy().into_owned())
}

fn is_test_code(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

#[test]
fn modules_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for path in files("src", "rs").into_iter().filter(|path| !is_test_code(path)) {
        let module = module_of(&path);
        for used in uses(&text_of(&path)).into_iter().filter(|used| is_forbidden(&module, used)) {
            wrong.push(format!("{}: {module} may not use {used}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_platform_uses_another() {
    let sources = files("src", "rs");
    let platforms: BTreeSet<String> = sources.iter().filter_map(|path| platform_of(path)).collect();
    for path in &sources {
        let Some(own) = platform_of(path) else { continue };
        for used in uses(&text_of(path)) {
            let Some(("channels", name)) = used.split_once("::") else { continue };
            assert!(name == own || !platforms.contains(name), "{} uses {name}", path.display());
        }
    }
}

#[test]
fn the_reader_of_paths_sees_every_form() {
    let code = "use crate::store::{Reader, rows};\n// use crate::web::x;\nlet a = crate::sync::engine::step();\n\
                use crate::{domain::{id::{OrderNo, Sku}, money}, clock, channels::registry::names as all};\n\
                $crate::cli::x(); pub(crate) fn f() {}";
    let expected = [
        "channels::registry",
        "clock",
        "domain::id",
        "domain::money",
        "store::Reader",
        "store::rows",
        "sync::engine",
    ];
    assert_eq!(uses(code), expected.into_iter().map(str::to_owned).collect());
    assert!(is_forbidden("store", "sync::engine") && is_forbidden("domain", "clock"));
    assert!(is_forbidden("web", "channels::amazon") && !is_forbidden("web", "channels::registry"));
    assert!(is_forbidden("sim", "channels::amazon") && !is_forbidden("sim", "clock"));
    assert!(is_forbidden("sync", "web::routes") && !is_forbidden("cli", "web::routes"));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let text = text_of(&path);
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > 10, "{} does not begin with //!", path.display());
    }
}

#[test]
fn every_name_says_what_is_inside() {
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        for part in path.with_extension("").iter() {
            let part = part.to_string_lossy();
            assert!(!EMPTY_NAMES.contains(&part.as_ref()), "{}: {part} says nothing", path.display());
        }
    }
}

#[test]
fn every_setting_is_documented() {
    let documentation = text_of(Path::new("docs/configuration.md"));
    let documented: BTreeSet<&str> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(key, _)| key)
        .collect();
    let keys = eider::config::Config::keys();
    assert_eq!(documented, keys.iter().map(String::as_str).collect());
}

#[test]
fn every_reason_is_documented_in_the_words_of_the_pages() {
    let documentation = text_of(Path::new("docs/orders.md"));
    for code in eider::domain::reason::ReasonCode::ALL {
        let reason = eider::domain::reason::Reason::of(*code);
        let row = format!("| `{code}` | {} | {} |", reason.what(), reason.next_step());
        assert!(documentation.lines().any(|line| line == row), "docs/orders.md lacks: {row}");
    }
}

/// Tokens and messages apart, which the sections tell of in words.
#[test]
fn every_call_is_documented_with_its_platform() {
    let documentation = text_of(Path::new("docs/platforms.md"));
    for (platform, title) in
        [("amazon", "Amazon"), ("bigcommerce", "BigCommerce"), ("ebay", "eBay"), ("etsy", "Etsy")]
    {
        let section = documentation
            .split("\n## ")
            .find(|section| section.starts_with(title))
            .unwrap_or_else(|| panic!("docs/platforms.md has no section for {title}"));
        let words: BTreeSet<&str> =
            section.split(|letter: char| !letter.is_alphanumeric() && letter != '-').collect();
        let mut calls = OPERATIONS
            .iter()
            .filter(|call| call.platform == platform && !["token", MESSAGE].contains(&call.name))
            .peekable();
        assert!(calls.peek().is_some(), "no calls of {platform}");
        for call in calls {
            assert!(words.contains(call.name), "docs/platforms.md lacks {platform}'s {}", call.name);
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps_and_released_ones_are_frozen() {
    let migrations = files("src/store/migrations", "sql");
    for (path, number) in migrations.iter().zip(1..) {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with(&format!("{number:04}_")), "{name} should be number {number:04}");
    }
    for (name, hash) in RELEASED_MIGRATIONS {
        let text = text_of(&Path::new("src/store/migrations").join(name));
        let found = Sha256::digest(text.as_bytes());
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, hash, "{name} was released and is edited: write a new migration instead");
    }
}
