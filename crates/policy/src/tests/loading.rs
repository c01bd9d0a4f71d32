use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use pursekeeper_core::ServiceName;
use pursekeeper_core::ports::Policy;
use pursekeeper_core::registry::{FirstUse, Payees};

use super::fixture::{REGISTRY, bundle, evm};
use crate::{BUNDLE_FILE_BYTES_MAX, Bundle, BundleOptions, Draft};

const RULE: &str = "@id(\"a.b\") permit (principal, action, resource);";

fn load(dir: &std::path::Path) -> Result<Bundle, String> {
    Bundle::load(dir, BundleOptions::default()).map_err(|errors| errors.to_string())
}

#[test]
fn a_directory_is_the_same_bundle_as_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("registry.yaml"), REGISTRY).unwrap();
    fs::write(dir.path().join("rule.cedar"), RULE).unwrap();
    fs::write(dir.path().join("README.md"), "not a policy").unwrap();
    fs::write(dir.path().join(".hidden.cedar"), "not read").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let loaded = load(dir.path()).unwrap();
    assert_eq!(loaded.digest(), bundle(&[("rule.cedar", RULE)]).digest());
    assert!(loaded.warnings().iter().any(|warning| &*warning.place.file == "sub"));
}

#[test]
fn a_mounted_configmap_is_read_through_one_path() {
    let dir = tempfile::tempdir().unwrap();
    let revision = dir.path().join("..2026_11_22");
    fs::create_dir(&revision).unwrap();
    fs::write(revision.join("registry.yaml"), REGISTRY).unwrap();
    fs::write(revision.join("rule.cedar"), RULE).unwrap();
    symlink("..2026_11_22", dir.path().join("..data")).unwrap();
    symlink("..data/registry.yaml", dir.path().join("registry.yaml")).unwrap();
    symlink("..data/rule.cedar", dir.path().join("rule.cedar")).unwrap();
    assert_eq!(load(dir.path()).unwrap().digest(), bundle(&[("rule.cedar", RULE)]).digest());
}

#[test]
fn a_configmap_that_is_swapped_while_it_is_read_is_one_revision_or_the_other() {
    const SWAPS: usize = 200;
    let rule = |at: usize| format!("@id(\"n.r{at}\") forbid (principal, action, resource);");
    let registry = |at: usize| format!("{REGISTRY}\n# revision {at}\n");
    let dir = tempfile::tempdir().unwrap();
    let mount = |at: usize| {
        let name = format!("..revision-{at}");
        fs::create_dir(dir.path().join(&name)).unwrap();
        fs::write(dir.path().join(&name).join("registry.yaml"), registry(at)).unwrap();
        fs::write(dir.path().join(&name).join("rule.cedar"), rule(at)).unwrap();
        symlink(&name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    mount(0);
    let whole: BTreeSet<String> = (0..=SWAPS)
        .map(|at| crate::bundle::digest(&registry(at), &[("rule.cedar", &rule(at))]).to_string())
        .collect();
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for at in 1..=SWAPS {
                mount(at);
                fs::remove_dir_all(dir.path().join(format!("..revision-{}", at - 1))).unwrap();
            }
        });
        while !swapping.is_finished() {
            match Draft::read(dir.path()) {
                Ok(draft) => assert!(whole.contains(&draft.digest().to_string())),
                Err(errors) => {
                    let text = errors.to_string();
                    assert!(
                        ["keeps changing", "cannot be read"].iter().any(|part| text.contains(part)),
                        "{text}"
                    );
                }
            }
        }
    });
    assert!(whole.contains(&Draft::read(dir.path()).unwrap().digest().to_string()));
}

#[test]
fn what_is_not_a_plain_small_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    assert!(load(&path("nowhere")).unwrap_err().contains("cannot be read"));
    assert!(load(dir.path()).unwrap_err().contains("registry.yaml` cannot be read"));
    fs::write(path("registry.yaml"), REGISTRY).unwrap();
    symlink("registry.yaml", path("link.cedar")).unwrap();
    fs::create_dir(path("dir.cedar")).unwrap();
    fs::write(path("bytes.cedar"), [0xff, 0xfe]).unwrap();
    let length = usize::try_from(BUNDLE_FILE_BYTES_MAX).unwrap() + 1;
    fs::write(path("large.cedar"), "/".repeat(length)).unwrap();
    let errors = load(dir.path()).unwrap_err();
    for (name, what) in [
        ("link.cedar", "not a regular file"),
        ("dir.cedar", "not a regular file"),
        ("bytes.cedar", "UTF-8"),
        ("large.cedar", "larger than"),
    ] {
        let line = errors.lines().find(|line| line.contains(name)).expect(name);
        assert!(line.contains(what), "{line}");
    }
}

#[test]
fn payees_may_be_left_to_the_operators() {
    let listed = "payees: [\"0x3333333333333333333333333333333333333333\"]";
    let anything = ServiceName::parse("anything").unwrap();
    let list = BTreeSet::from([evm("0x3333333333333333333333333333333333333333")]);
    let table = [
        (listed.to_owned(), Payees { list: list.clone(), first_use: FirstUse::Refused }),
        (
            "payees: { first_use: pending }".to_owned(),
            Payees { list: BTreeSet::new(), first_use: FirstUse::Pending },
        ),
        (
            format!("payees: {{ first_use: pending, {} }}", listed.replace("payees", "list")),
            Payees { list, first_use: FirstUse::Pending },
        ),
    ];
    for (text, expected) in table {
        let bundle = Bundle::from_parts(&REGISTRY.replace(listed, &text), &[], BundleOptions::default());
        let bundle = bundle.unwrap_or_else(|errors| panic!("{text}: {errors}"));
        assert_eq!(bundle.registry().services[&anything].payees, expected, "{text}");
        assert!(!bundle.warnings().iter().any(|warning| warning.what.contains("payee")), "{text}");
    }
}

#[test]
fn an_asset_takes_permits_only_where_the_registry_says_so() {
    let has = |registry: &str| {
        let bundle = Bundle::from_parts(registry, &[], BundleOptions::default()).unwrap();
        bundle.registry().assets.values().any(pursekeeper_core::Asset::has_eip2612)
    };
    assert!(!has(REGISTRY));
    assert!(has(&REGISTRY.replace("methods: [eip3009]", "methods: [eip3009, permit2]\n    eip2612: true")));
    assert!(!has(&REGISTRY.replace("methods: [eip3009]", "methods: [eip3009]\n    eip2612: false")));
}
