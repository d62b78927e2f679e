//! A connection stays with its account, and no account is connected twice.

use bytes::Bytes;
use url::Url;

use super::*;
use crate::channels::consent::{ConsentAnswer, ConsentRequest};
use crate::sync::commands::Refused;

type Texts = BTreeMap<String, String>;

impl Other {
    fn held(&self) -> Texts {
        let id = self.connection();
        let vault = &self.rig.engine.inner.parts.vault;
        vault.read(|document| document.connections.get(&id.0).cloned()).unwrap()
    }

    /// Somebody else is signed in to the platform, or its owner again.
    fn sign_in(&self, other: bool) -> Value {
        self.rig.control(self.name, "sign_in", &json!({"other": other}))
    }

    /// New credentials are typed.
    async fn enter(&self, pairs: &[(&str, &str)]) -> Result<(), Refused> {
        let update = ConnectionUpdate { credentials: secrets(pairs), ..ConnectionUpdate::default() };
        self.rig.engine.change_connection(self.connection(), update, "test").await
    }

    /// The connection is authorised again on the platform's own page.
    async fn consent(&self) -> Result<(), Refused> {
        let (engine, id) = (&self.rig.engine, self.connection());
        let request = engine.request_of(id, BTreeMap::new()).unwrap();
        let redirect_uri = "https://localhost/".to_owned();
        let wish = ConsentRequest { redirect_uri: redirect_uri.clone(), state: "st".to_owned() };
        let start = engine.start_consent(&request, &wish).unwrap();
        let code = Secret::new(self.code(&start.url));
        let answer = ConsentAnswer { code, redirect_uri, verifier: start.verifier };
        let credentials = engine.finish_consent(&request, answer).await.unwrap();
        let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
        engine.change_connection(id, update, "test").await
    }

    /// The code that the platform's page gives to whoever is signed in.
    fn code(&self, page: &Url) -> String {
        if self.name == "ebay" {
            return crate::sim::EBAY_CONSENT_CODE.to_owned();
        }
        let request = http::Request::get(page.as_str()).body(Bytes::new()).unwrap();
        let response = self.rig.world.handle(self.name, &request).response;
        let back: Url = response.headers()["location"].to_str().unwrap().parse().unwrap();
        back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    async fn add(&self, alias: &str, pairs: &[(&str, &str)]) -> Result<ConnectionId, Refused> {
        let mut request = connection_requests(&self.rig.world).remove(self.name).unwrap();
        request.alias = alias.to_owned();
        request.credentials.extend(secrets(pairs));
        self.rig.engine.add_connection(request, "test").await
    }

    async fn sells_on(&mut self) {
        let id = self.sell();
        self.rig.pass(900).await;
        assert_eq!(self.rig.shop_orders_of(&id).len(), 1, "{}", self.name);
    }
}

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Secret::new(*text))).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[tokio::test]
async fn a_consent_of_another_account_is_refused_and_the_old_credentials_work_on() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        other.sells_on().await;
        let account = other.rig.engine.connection(other.connection()).unwrap().account;
        let before = other.held();
        other.sign_in(true);
        let refused = other.consent().await.unwrap_err();
        assert!(refused.message.contains("are for another"), "{name}: {}", refused.message);
        assert!(refused.message.contains(&account), "{name}: {}", refused.message);
        assert_eq!(other.held(), before, "{name}");
        other.sells_on().await;

        other.sign_in(false);
        other.consent().await.unwrap();
        other.sells_on().await;
        let after = other.rig.engine.connection(other.connection()).unwrap();
        assert_eq!((after.account, after.state), (account, ConnectionState::Active), "{name}");
        other.rig.assert_sound().await;
    }
}

#[tokio::test]
async fn typed_credentials_of_another_account_are_refused() {
    let mut etsy = Other::new("etsy", "").await;
    etsy.rig.sell(1);
    etsy.sells_on().await;
    let (before, theirs) = (etsy.held(), etsy.sign_in(true));
    let pairs = ["shop_id", "refresh_token"].map(|name| (name, text(&theirs, name)));
    let refused = etsy.enter(&pairs).await.unwrap_err();
    assert!(refused.message.contains(text(&theirs, "shop_id")), "{}", refused.message);
    assert_eq!(etsy.held(), before);
    etsy.sells_on().await;

    let rig = &etsy.rig;
    let of = |id| rig.engine.connection(id).unwrap().account;
    let store = format!("https://store-{}.mybigcommerce.com/manage", of(rig.shop));
    for (id, name, wrong, right) in [
        (rig.amazon, "seller_id", "A9OTHERSELLER", of(rig.amazon)),
        (rig.shop, "store_hash", "0therst0re", store),
    ] {
        let enter = |value: &str| {
            let credentials = secrets(&[(name, value)]);
            rig.engine.change_connection(
                id,
                ConnectionUpdate { credentials, ..ConnectionUpdate::default() },
                "test",
            )
        };
        let refused = enter(wrong).await.unwrap_err();
        assert!(refused.message.contains("are for another"), "{name}: {}", refused.message);
        enter(&right).await.unwrap();
    }
}

#[tokio::test]
async fn a_pasted_token_of_another_ebay_seller_is_refused() {
    let mut ebay = Other::new("ebay", "").await;
    ebay.sells_on().await;
    let (before, theirs) = (ebay.held(), ebay.sign_in(true));
    let token = [("refresh_token", text(&theirs, "refresh_token"))];
    let refused = ebay.enter(&token).await.unwrap_err();
    assert!(refused.message.contains(text(&theirs, "user_id")), "{}", refused.message);
    // A name of one's own does not hide it.
    let named = [token[0], ("seller", before["seller"].as_str())];
    assert!(ebay.enter(&named).await.unwrap_err().message.contains("are for another"));
    assert_eq!(ebay.held(), before);
    ebay.sells_on().await;

    // Where eBay does not answer, nothing is taken on trust.
    ebay.rig.control("ebay", "revoke", &json!({}));
    let own = ebay.sign_in(false);
    let token = [("refresh_token", text(&own, "refresh_token"))];
    ebay.rig.fault("ebay", "getUser", "500", 2);
    let refused = ebay.enter(&token).await.unwrap_err();
    assert!(refused.message.contains("did not say whose account"), "{}", refused.message);
    assert_eq!(ebay.held(), before);
    // Where it says that the token may not ask, the application is all that can be compared.
    ebay.rig.control("ebay", "hide_seller", &json!({"on": true}));
    ebay.enter(&token).await.unwrap();
    assert_eq!(ebay.held()["seller"], before["seller"]);
    ebay.sells_on().await;
}

#[tokio::test]
async fn an_ebay_seller_is_one_account_by_token_and_by_consent() {
    let ebay = Other::new("ebay", "").await;
    let own = ebay.sign_in(false);
    let account = ebay.rig.engine.connection(ebay.connection()).unwrap().account;
    assert_eq!(account, text(&own, "user_id"));
    for pairs in [&[][..], &[("seller", "second")][..]] {
        let twin = ebay.add("eBay again", pairs).await.unwrap_err();
        assert!(twin.message.contains("connected to this account already"), "{}", twin.message);
    }
    // Another seller under the same application is another account.
    let theirs = ebay.sign_in(true);
    let id = ebay.add("Other", &[("refresh_token", text(&theirs, "refresh_token"))]).await.unwrap();
    assert_eq!(ebay.rig.engine.connection(id).unwrap().account, text(&theirs, "user_id"));
}

/// A token without the scope stands for the application, as it did before eBay was asked.
#[tokio::test]
async fn an_ebay_seller_whom_nobody_named_is_connected_once() {
    let options = SimOptions { marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let rig = Rig::new(options, |_| ()).await;
    rig.control("ebay", "hide_seller", &json!({"on": true}));
    let mut request = connection_requests(&rig.world).remove("ebay").unwrap();
    request.settings.shop = Some(rig.shop);
    let app = request.credentials["client_id"].expose().to_owned();
    let id = rig.engine.add_connection(request, "test").await.unwrap();
    assert_eq!(rig.engine.connection(id).unwrap().account, app);
    let mut ebay = Other { rig, name: "ebay", operation: "" };
    ebay.rig.pass(60).await;
    let twin = ebay.add("eBay again", &[("seller", "second")]).await.unwrap_err();
    assert!(twin.message.contains("connected to this account already"), "{}", twin.message);

    ebay.rig.control("ebay", "hide_seller", &json!({"on": false}));
    let theirs = ebay.sign_in(true);
    let token = [("refresh_token", text(&theirs, "refresh_token"))];
    let untold = ebay.add("Other", &token).await.unwrap_err();
    assert!(untold.message.contains("Nothing tells whether"), "{}", untold.message);
    // Once both are named they are two. The account by which the shop knows the orders stays.
    let own = ebay.sign_in(false);
    ebay.consent().await.unwrap();
    assert_eq!(ebay.held()["seller"], text(&own, "user_id"));
    assert_eq!(ebay.rig.engine.connection(id).unwrap().account, app);
    ebay.sells_on().await;
    ebay.sign_in(true);
    assert!(ebay.consent().await.unwrap_err().message.contains("are for another"));
    let other = ebay.add("Other", &token).await.unwrap();
    assert_eq!(ebay.rig.engine.connection(other).unwrap().account, text(&theirs, "user_id"));
}

#[tokio::test]
async fn an_account_that_was_mistyped_is_corrected_until_something_is_held_of_it() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    rig.pass(60).await;
    let right = rig.engine.connection(rig.amazon).unwrap().account;
    let enter = async |rig: &Rig, seller: &str| {
        let credentials = secrets(&[("seller_id", seller)]);
        let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
        rig.engine.change_connection(rig.amazon, update, "test").await
    };
    let is_now = |rig: &Rig| {
        let connection = rig.engine.connection(rig.amazon).unwrap();
        (connection.account, connection.state, connection.state_note)
    };
    enter(&rig, "A9MISTYPED").await.unwrap();
    assert_eq!(is_now(&rig), ("A9MISTYPED".to_owned(), ConnectionState::Active, None));
    // One that stands still goes on standing still, with its reason.
    rig.engine.pause(rig.amazon, "ada").await.unwrap();
    enter(&rig, &right).await.unwrap();
    assert_eq!(is_now(&rig), (right.clone(), ConnectionState::Paused, Some("Paused by ada.".to_owned())));
    rig.engine.resume(rig.amazon, "ada").await.unwrap();
    rig.restart().await;
    assert_eq!(is_now(&rig).0, right, "it is durable");

    let id = rig.sell(1);
    rig.pass(120).await;
    assert_eq!(rig.shop_orders_of(&id).len(), 1, "it is read from the start");
    let refused = enter(&rig, "A9MISTYPED").await.unwrap_err();
    assert!(
        refused.message.contains("are for another") && refused.message.contains("pause it"),
        "{refused:?}"
    );
    assert_eq!(is_now(&rig).0, right);
    rig.assert_sound().await;
}

#[tokio::test]
async fn a_connection_of_which_nothing_is_held_goes_over_to_no_account_that_is_connected_already() {
    let rig = Rig::new(quiet(), |_| ()).await;
    let mut second = connection_requests(&rig.world).remove("amazon").unwrap();
    second.alias = "Second".to_owned();
    second.credentials.extend(secrets(&[("seller_id", "A9OTHERSELLER")]));
    rig.engine.add_connection(second, "test").await.unwrap();
    let credentials = secrets(&[("seller_id", "A9OTHERSELLER")]);
    let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
    let twin = rig.engine.change_connection(rig.amazon, update, "test").await.unwrap_err();
    assert!(twin.message.contains("connected to this account already"), "{}", twin.message);
}

#[tokio::test]
async fn who_signed_in_with_the_wrong_account_signs_in_again_with_the_right_one() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        let account = |other: &Other| other.rig.engine.connection(other.connection()).unwrap().account;
        let right = account(&other);
        other.sign_in(true);
        other.consent().await.unwrap();
        assert_ne!(account(&other), right, "{name}");
        other.sign_in(false);
        other.consent().await.unwrap();
        assert_eq!(account(&other), right, "{name}");
        other.sells_on().await;
        other.rig.assert_sound().await;
    }
}
