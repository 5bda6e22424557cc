//! Every rule refuses what breaks it, by name, and leaves nothing behind.

use std::collections::HashSet;

use schemas::silver::{AccountStatus, AccountType, TransactionStatus};
use schemas::{AccountId, CustomerId, Money};

use super::samples::{account, account_of, customer, deposit, money, person, post, transfer, withdrawal};
use crate::{
    AMOUNT_MAX, Account, AccountDraft, AccountUpdate, Change, CustomerDraft, Rule, SystemOfRecord, SystemOfRecordError,
    SystemOfRecordExt, TransactionDraft,
};

pub async fn check(records: &dyn SystemOfRecord) {
    rules(records).await;
    values(records).await;
}

async fn rules(records: &dyn SystemOfRecord) {
    let owner = customer(records).await;
    let eur = account(records, "EUR", "10.00").await;
    let used = post(records, deposit(eur.id, "1.00")).await;
    let usd = account(records, "USD", "10.00").await;
    let jpy = account(records, "JPY", "1000").await;
    let [sender, receiver] = [account(records, "EUR", "1.00").await, account(records, "EUR", "0.00").await];
    post(records, transfer(sender.id, receiver.id, "1.00")).await;
    let full = account(records, "EUR", &AMOUNT_MAX.to_string()).await;
    let closed = account(records, "EUR", "10.00").await;
    records.close_account(closed.id, None).await.expect("close");
    let nobody = CustomerId(i64::MAX);
    let nowhere = AccountId(i64::MAX);
    let update = |account: &Account, currency: &str, owner: CustomerId| Change::UpdateAccount {
        id: account.id.into(),
        to: AccountUpdate {
            customer_id: owner.into(),
            account_type: AccountType::Checking,
            currency: currency.parse().expect("a currency"),
            status: Some(AccountStatus::Active),
        },
        expected: None,
    };
    let correct = |to: TransactionDraft| Change::UpdateTransaction {
        id: used.id.into(),
        to: to.into(),
        expected: None,
    };
    let same_email = CustomerDraft {
        email: owner.email.to_uppercase(),
        ..person()
    };

    let cases = [
        (Rule::EmailUnique, Change::InsertCustomer(same_email.clone())),
        (
            Rule::EmailUnique,
            Change::UpdateCustomer {
                id: eur.customer_id.into(),
                to: same_email,
                expected: None,
            },
        ),
        (Rule::CustomerExists, Change::InsertAccount(account_of(nobody, "EUR", "0"))),
        (Rule::CustomerExists, update(&usd, "USD", nobody)),
        (
            Rule::CustomerInUse,
            Change::DeleteCustomer {
                id: eur.customer_id.into(),
                expected: None,
            },
        ),
        (
            Rule::AccountInUse,
            Change::DeleteAccount {
                id: eur.id.into(),
                expected: None,
            },
        ),
        (
            Rule::AccountInUse,
            Change::DeleteAccount {
                id: receiver.id.into(),
                expected: None,
            },
        ),
        (Rule::AccountExists, Change::InsertTransaction(deposit(nowhere, "1.00"))),
        (Rule::AccountExists, correct(deposit(nowhere, "1.00"))),
        (
            Rule::RelatedAccountExists,
            Change::InsertTransaction(transfer(eur.id, nowhere, "1.00")),
        ),
        (Rule::AccountActive, Change::InsertTransaction(deposit(closed.id, "1.00"))),
        (
            Rule::AccountActive,
            Change::InsertTransaction(transfer(eur.id, closed.id, "1.00")),
        ),
        (Rule::OneCurrency, Change::InsertTransaction(transfer(eur.id, usd.id, "1.00"))),
        (Rule::OneCurrency, correct(transfer(eur.id, usd.id, "1.00"))),
        (Rule::AmountScale, Change::InsertTransaction(deposit(jpy.id, "1.50"))),
        (Rule::NotOverdrawn, Change::InsertTransaction(withdrawal(eur.id, "11.01"))),
        (
            Rule::NotOverdrawn,
            Change::InsertTransaction(transfer(eur.id, full.id, "11.01")),
        ),
        (Rule::NotOverdrawn, correct(withdrawal(eur.id, "10.01"))),
        (Rule::BalanceInRange, Change::InsertTransaction(deposit(full.id, "0.01"))),
        (Rule::CurrencyFixed, update(&eur, "USD", eur.customer_id)),
        (
            Rule::StatusFlow,
            correct(TransactionDraft {
                status: TransactionStatus::Pending,
                ..deposit(eur.id, "1.00")
            }),
        ),
    ];
    let shown: HashSet<Rule> = cases.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(shown.len(), Rule::ALL.len(), "every rule has a case");
    for (rule, change) in cases {
        let refused = records.commit(std::slice::from_ref(&change)).await;
        assert_eq!(refused, Err(rule.into()), "{change:?}");
    }
    let untouched = records.account(eur.id).await.expect("a look-up").expect("the account");
    assert_eq!(untouched.balance, money("11.00"));
    assert_eq!(records.transaction(used.id).await, Ok(Some(used)));
}

async fn values(records: &dyn SystemOfRecord) {
    let owner = customer(records).await;
    let account = account(records, "EUR", "10.00").await;
    let named = |first_name: &str| {
        Change::InsertCustomer(CustomerDraft {
            first_name: first_name.to_owned(),
            ..person()
        })
    };
    let mailed = |email: &str| {
        Change::InsertCustomer(CustomerDraft {
            email: email.to_owned(),
            ..person()
        })
    };
    let opened = |currency: &str, amount: Money| {
        let draft = account_of(owner.id, currency, "0");
        Change::InsertAccount(AccountDraft {
            opening_balance: amount.into(),
            ..draft
        })
    };
    let booked = |amount: Money| {
        Change::InsertTransaction(TransactionDraft {
            amount: amount.into(),
            ..deposit(account.id, "1.00")
        })
    };
    let too_much = AMOUNT_MAX.checked_add(money("0.01")).expect("a sum");
    let lonely = TransactionDraft {
        related_account_id: None,
        ..transfer(account.id, account.id, "1.00")
    };
    let crowded = TransactionDraft {
        related_account_id: Some(account.id.into()),
        ..deposit(account.id, "1.00")
    };
    let long_email = format!("{}@example.com", "x".repeat(250));
    for (field, change) in [
        ("first_name", named("")),
        ("first_name", named(" \u{a0} ")),
        ("first_name", named(&"ö".repeat(101))),
        ("first_name", named("A\0da")),
        ("email", mailed("")),
        ("email", mailed("ada.example.com")),
        ("email", mailed("@example.com")),
        ("email", mailed("ada@")),
        ("email", mailed("ada @example.com")),
        ("email", mailed(&long_email)),
        ("opening_balance", opened("EUR", money("-0.01"))),
        ("opening_balance", opened("EUR", too_much)),
        ("opening_balance", opened("JPY", money("0.50"))),
        ("amount", booked(Money::ZERO)),
        ("amount", booked(money("-1.00"))),
        ("amount", booked(too_much)),
        ("related_account_id", Change::InsertTransaction(lonely)),
        ("related_account_id", Change::InsertTransaction(crowded)),
        (
            "related_account_id",
            Change::InsertTransaction(transfer(account.id, account.id, "1.00")),
        ),
    ] {
        match records.commit(std::slice::from_ref(&change)).await {
            Err(SystemOfRecordError::Invalid { field: at_fault, .. }) => assert_eq!(at_fault, field, "{change:?}"),
            other => panic!("{change:?} gave {other:?}"),
        }
    }
    // What is just within.
    let longest = CustomerDraft {
        first_name: "ö".repeat(100),
        ..person()
    };
    records.insert_customer(longest).await.expect("a hundred characters");
}
