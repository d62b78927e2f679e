//! What an effect looks at before it runs. Effects that start at the same time look together: one read of the store
//! for all of them, since a statement costs more than its rows.
//!
//! Nothing is kept: whoever looks sees the store as of now.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::domain::effect::{Effect, EffectKind};
use crate::domain::id::{ConnectionId, OrderNo};
use crate::store::connections::StreamState;
use crate::store::mirror::MirrorRow;
use crate::store::orders::HeldFacts;
use crate::store::{Read, Store, StoreError, connections, mirror, orders};
use crate::sync::jobs::Job;

/// Effects that look together.
const TOGETHER_MAX: usize = 64;

/// What the shop's mirror knows of an order.
#[derive(Debug, Clone, Default)]
pub(in crate::sync) struct Mirrored {
    /// The shop's orders that carry its id, oldest first.
    pub(super) rows: Vec<MirrorRow>,
    /// How far the mirror reaches.
    pub(super) stream: Option<StreamState>,
}

/// An order as held, and what the mirror of the shop it goes to knows of it.
#[derive(Debug)]
pub(in crate::sync) struct Look {
    pub(super) facts: HeldFacts,
    pub(super) mirrored: Mirrored,
}

type Answer = Result<Option<Look>, StoreError>;

/// Effects that wait to look.
#[derive(Debug, Default)]
pub(in crate::sync) struct Looks {
    waiting: Mutex<Vec<(Question, oneshot::Sender<Answer>)>>,
    /// Whoever has it looks for all that wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    order_no: OrderNo,
    /// The shop whose mirror is asked.
    shop: Option<ConnectionId>,
}

impl Looks {
    /// What is held of an effect's order; `None` where there is no such order.
    pub(super) async fn look(&self, store: &Store, effect: &Effect) -> Answer {
        let asks_mirror = matches!(
            effect.kind,
            EffectKind::CreateShopOrder | EffectKind::CancelShopOrder | EffectKind::ReadShopAfterSale
        );
        let question = Question { order_no: effect.order_no, shop: asks_mirror.then_some(effect.connection) };
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((question, answer));
        tokio::select! {
            biased;
            // Somebody who had the turn looked for us too.
            answer = &mut answered => return answer.unwrap_or(Err(StoreError::Closed)),
            turn = self.turn.lock() => {
                self.look_for_all(store).await;
                drop(turn);
            }
        }
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn look_for_all(&self, store: &Store) {
        loop {
            let (questions, answers): (Vec<Question>, Vec<_>) = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let count = waiting.len().min(TOGETHER_MAX);
                waiting.drain(..count).unzip()
            };
            let is_last = questions.len() < TOGETHER_MAX;
            if !questions.is_empty() {
                match store.read(move |read| see(read, &questions)).await {
                    // Whoever asked may have gone away.
                    Ok(looks) => {
                        answers.into_iter().zip(looks).for_each(|(to, look)| drop(to.send(Ok(look))))
                    }
                    Err(error) => answers.into_iter().for_each(|to| drop(to.send(Err(error.clone())))),
                }
            }
            if is_last {
                return;
            }
        }
    }
}

/// One answer for each question.
fn see(read: &Read<'_>, questions: &[Question]) -> Result<Vec<Option<Look>>, StoreError> {
    let orders: Vec<OrderNo> = questions.iter().map(|question| question.order_no).collect();
    let mut held = orders::facts_of(read, &orders)?;
    let mut wanted: BTreeMap<ConnectionId, Vec<String>> = BTreeMap::new();
    for question in questions {
        let (Some(shop), Some((facts, _, _))) = (question.shop, held.get(&question.order_no)) else {
            continue;
        };
        wanted.entry(shop).or_default().push(facts.external_id.clone());
    }
    let mut streams: HashMap<ConnectionId, Option<StreamState>> = HashMap::new();
    let mut mirrored: HashMap<(ConnectionId, String), Vec<MirrorRow>> = HashMap::new();
    for (shop, external_ids) in wanted {
        streams.insert(shop, connections::stream(read, shop, Job::PollShop.stream())?);
        for row in mirror::find_all(read, shop, &external_ids)? {
            let Some(external_id) = row.external_order_id.clone() else { continue };
            mirrored.entry((shop, external_id)).or_default().push(row);
        }
    }
    Ok(questions
        .iter()
        .map(|question| {
            let facts = held.remove(&question.order_no)?;
            let mirrored = question.shop.map(|shop| Mirrored {
                rows: mirrored.remove(&(shop, facts.0.external_id.clone())).unwrap_or_default(),
                stream: streams.get(&shop).cloned().flatten(),
            });
            Some(Look { facts, mirrored: mirrored.unwrap_or_default() })
        })
        .collect())
}
