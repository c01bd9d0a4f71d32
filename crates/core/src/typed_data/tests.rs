//! Typed data as apps write it, from vectors computed with viem.

use serde_json::{Value, json};

use super::{PERMIT, TRANSFER, TypedData, UPTO, fields::Shape, request_id};
use crate::DenyCode;

/// The vectors of a kind, as `eth_signTypedData_v4` takes them, with the digest that viem signs.
fn vectors(kind: &str, shape: &Shape) -> Vec<(Value, String)> {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/vectors/evm.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == kind);
    let data = |vector: &Value| {
        json!({
            "domain": vector["domain"], "types": types(shape), "primaryType": shape.primary,
            "message": vector["message"],
        })
    };
    vectors.map(|vector| (data(vector), vector["digest"].as_str().unwrap().to_owned())).collect()
}

fn types(shape: &Shape) -> Value {
    let list = |fields: &[super::Field]| -> Value {
        fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect()
    };
    let structs = shape.structs.iter().map(|(name, fields)| ((*name).to_owned(), list(fields)));
    Value::Object(structs.collect())
}

fn transfer() -> Value {
    vectors("eip3009", &TRANSFER).remove(0).0
}

/// `Ok` with nothing, `Err` with the code of a refusal, or a malformed field's message.
fn answer(data: &Value) -> Result<(), String> {
    match TypedData::read(&data.to_string()) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refusal)) => Err(refusal.code.as_str().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn what_every_wallet_signs_is_understood_and_has_the_same_digest() {
    let table = [
        ("eip3009", &TRANSFER),
        ("eip2612", &PERMIT),
        ("permit2_exact", &super::EXACT),
        ("permit2_upto", &UPTO),
    ];
    for (kind, shape) in table {
        let vectors = vectors(kind, shape);
        assert_eq!(vectors.len(), 4, "{kind}");
        for (mut data, digest) in vectors {
            let read = TypedData::read(&data.to_string()).unwrap().unwrap();
            assert_eq!(format!("0x{}", read.digest()), digest, "{kind}");
            // With the type of the domain, as most libraries write it, and numbers as numbers where they fit.
            let domain = shape.domain.iter().map(|(name, kind)| json!({ "name": name, "type": kind }));
            data["types"]["EIP712Domain"] = domain.collect();
            data["domain"]["chainId"] =
                json!(data["domain"]["chainId"].as_str().unwrap().parse::<u64>().unwrap());
            let again = TypedData::read(&data.to_string()).unwrap();
            assert_eq!(again.as_ref().unwrap(), &read, "{kind}");
            assert_eq!(request_id(&again, &data.to_string()), format!("typed-data.{}", &digest[2..]));
        }
    }
}

#[test]
fn anything_else_is_refused_by_name() {
    let other = DenyCode::TypedDataUnsupported.as_str();
    let change = |pointer: &str, value: Value| {
        let mut data = transfer();
        *data.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        data
    };
    let add = |pointer: &str, key: &str, value: Value| {
        let mut data = transfer();
        data.pointer_mut(pointer).unwrap()[key] = value;
        data
    };
    let fields = "/types/TransferWithAuthorization";
    let cases = [
        change("/primaryType", json!("Mail")),
        change("/primaryType", json!("ReceiveWithAuthorization")),
        change("/primaryType", json!("PermitWitnessTransferFrom")),
        change(&format!("{fields}/0/type"), json!("bytes32")),
        change(&format!("{fields}/1/name"), json!("from")),
        change(fields, json!([])),
        change(fields, json!({})),
        add("/types", "Order", json!([])),
        add("/types", "EIP712Domain", json!([{ "name": "name", "type": "string" }])),
        add("/message", "memo", json!("1")),
        add("/domain", "salt", json!("0x00")),
        add("", "note", json!("1")),
    ];
    for data in cases {
        assert_eq!(answer(&data), Err(other.to_owned()), "{data}");
    }
    for (kind, shape) in [("permit2_exact", &super::EXACT), ("permit2_upto", &UPTO)] {
        let data = vectors(kind, shape).remove(0).0;
        for pointer in ["/domain/verifyingContract", "/message/spender"] {
            let mut data = data.clone();
            *data.pointer_mut(pointer).unwrap() = json!("0x1111111111111111111111111111111111111111");
            assert_eq!(answer(&data), Err(other.to_owned()), "{data}");
        }
        let mut named = data.clone();
        named["domain"]["name"] = json!("Permit3");
        assert_eq!(answer(&named), Err(other.to_owned()));
        let mut versioned = data;
        versioned["domain"]["version"] = json!("1");
        assert_eq!(answer(&versioned), Err(other.to_owned()));
    }
    let mut permit = vectors("eip2612", &PERMIT).remove(0).0;
    permit["message"]["spender"] = json!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001");
    assert_eq!(answer(&permit), Err(other.to_owned()), "a permit for anybody but Permit2");
}

#[test]
fn a_wrong_field_makes_it_malformed() {
    let wrong = [
        ("/message/value", json!("1_000")),
        ("/message/value", json!("0x10")),
        ("/message/value", json!("007")),
        ("/message/value", json!(-1)),
        ("/message/value", "1.5".parse().unwrap()),
        ("/message/value", json!(null)),
        ("/message/to", json!("0x6b")),
        ("/message/to", json!("0x6BE854D8F38Acab8844843C07447E4E0F528c054")),
        ("/message/nonce", json!("1")),
        ("/message/nonce", json!("0x11")),
        ("/message/validBefore", json!("18446744073709551616")),
        ("/domain/chainId", json!("0x14a34")),
        ("/domain/chainId", json!("0")),
        ("/domain/name", json!(7)),
        ("/domain", json!([])),
        ("/types", json!(null)),
        ("/message", json!("")),
        ("/primaryType", json!(3)),
    ];
    for (pointer, value) in wrong {
        let mut data = transfer();
        *data.pointer_mut(pointer).unwrap() = value.clone();
        let problem = answer(&data).unwrap_err();
        assert!(DenyCode::parse(&problem).is_none() && problem.contains('`'), "{pointer} {value}: {problem}");
    }
    let mut endless = vectors("permit2_exact", &super::EXACT).remove(0).0;
    endless["message"]["deadline"] = json!(u64::MAX.to_string());
    assert!(answer(&endless).unwrap_err().contains("`message.deadline`"));
    let text = transfer().to_string();
    for text in ["", "[]", "{}", "null", &text[1..], &text.replacen("\"to\":", "\"to\":\"\",\"to\":", 1)] {
        assert!(TypedData::read(text).is_err(), "{text}");
    }
    assert!(TypedData::read(&" ".repeat(super::TYPED_DATA_LEN_MAX + 1)).is_err());
}
