//! # Eider
//!
//! Brings a merchant's orders from every marketplace and from the shop together, creates the marketplaces'
//! orders in the shop, keeps shipments in step both ways, and keeps every order, raw and normalised, in one
//! DuckDB file that analysts query with SQL in the same product.
//!
//! ## Words
//!
//! | word | meaning |
//! |---|---|
//! | channel | a kind of platform: `amazon`, `ebay`, `etsy`, `bigcommerce` |
//! | connection | one seller account on a channel, with credentials, settings and an alias |
//! | shop | a connection that orders are created in; a marketplace's connection names its shop |
//! | store | the database in this program; never a shop |
//! | order, line | a sale on a connection, and its positions, at the price the buyer paid |
//! | shop order | the order that we created in the shop for an order |
//! | history | orders placed before go-live: kept and reported, never exported unless a person picks them |
//! | facts | what a platform says of an order at one moment, in our words |
//! | effect | work owed to the outside; at most one is open per order, kind and revision |
//! | job | work of our own on a schedule: polls, readings |
//! | lane | a queue that no other may starve |
//! | hold, parked | an order waits for a person; a payload waits for a better reader |
//! | mirror | the shop's orders as its list tells of them: what a create is checked against |
//! | installation | one data folder; its random id goes into what we create |
//!
//! ## Where things live
//!
//! | folder | what |
//! |---|---|
//! | `main.rs`, [`cli`] | the command line, one file per command |
//! | [`app`] | builds and wires everything |
//! | [`clock`], [`http`], [`config`], [`secret`], [`vault`] | leaves: time and randomness, the one HTTP door, settings, secrets |
//! | [`domain`] | pure: values and decisions |
//! | [`channels`] | capability traits, the registry, errors, pacing, and one folder per platform |
//! | [`sync`] | the engine: queue, inbox, outbox, jobs |
//! | [`store`] | the only user of DuckDB: writer, readers, migrations, one file per noun |
//! | [`notify`] | telling people what needs them, by mail |
//! | [`control`] | the socket by which commands reach a running appliance |
//! | [`sim`] | simulated platforms in the platforms' own formats |
//! | [`campaign`] | the seeded fault campaign behind `eider sim` |
//! | [`web`] | pages and JSON API |
//!
//! Who may use whom is in `tests/it/tidy.rs`, which checks it.
//!
//! ## What always holds
//!
//! 1. One store write holds the payload, the rows that it changed, the effects now owed and the new cursor. A
//!    cursor never passes what is not durable.
//! 2. An effect's intent is durable before its call goes out; after any answer that leaves doubt we look before
//!    doing it again.
//! 3. A refund is asked for once: after a doubt only a person has it sent again.
//! 4. A marketplace's order is in the shop at most once per installation, and its total there is the
//!    marketplace's to the minor unit, or the order is held.
//! 5. No status is moved by an older fact.
//! 6. Person data lies in `main.person`, secrets in the vault, and neither anywhere else.
//! 7. All writes pass one thread; that is why keys are unique without an index.
//! 8. Nothing that fails is dropped: it comes again by itself, or waits for a person with the reason and the
//!    next step on the order.
//!
//! ## An order in
//!
//! `sync::jobs::poll_orders` asks `channels::amazon` for a page of changed orders. Its client paces and signs the
//! call; `wire.rs` reads the words, `map.rs` turns them into [`domain::order::OrderFacts`].
//! [`sync::inbox`] cuts the person data out and hands the page to [`store::orders`], where one write keeps
//! payloads, rows and cursor and lets [`domain::plan`] decide what is owed. The new effects enter
//! [`sync::queue`]. `sync::outbox::create_shop_order` looks whether the shop has the order (mirror, else probe),
//! builds the [`domain::draft`], makes the intent durable, and makes one call. What it answered, the mirror and
//! the end of the effect are one write.
//!
//! ## A shipment back
//!
//! `sync::jobs::poll_shop` sees that the shop order's status or shipped count moved; the mirror's write opens
//! `ReadShopShipments`. That reads the parcels, translates the shop's lines into the marketplace's, and lets
//! [`domain::plan::plan_parcels`] tell news from echoes: each new parcel owes a `ConfirmShipment`, whose parcel
//! number makes a repeat the same parcel. When the marketplace then reports the order as shipped, its parcel is
//! recognised by the tracking number and owes nothing.
//!
//! ## A cancellation or refund in the shop
//!
//! The mirror's write sees that a shop order was cancelled or that more of it was refunded, and opens
//! `ReadShopAfterSale`. That reads the shop's refunds and lets [`domain::plan::after_sale`] lay each to the
//! marketplace's lines: a `CancelOrder` or `RefundOrder` is owed where the connection's switch and the channel allow it.
//! Both follow the platform's ticket until it has decided. What the marketplace then reports is recognised as an echo.
//!
//! ## What was missed
//!
//! `sync::jobs::reconcile` compares days with what a platform lists of them and fetches what is missing,
//! `sync::jobs::replay` reads a time again beside the polls, and [`sync::parked`] reads again what another version
//! could not. All three end in the same import, which knows what is known and believes nothing older.

pub mod app;
pub mod campaign;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod domain;
pub mod http;
pub mod notify;
pub mod secret;
pub mod sim;
pub mod store;
pub mod sync;
pub mod vault;
pub mod web;
