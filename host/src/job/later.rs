//! Jobs that are taken before anything is fetched for them: what acceptance does else is done by an attempt, and tried again
//! like everything that an attempt does.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::{Output, OutputState, Phase};
use imgserve_journal::IdempotencyKey;
use imgserve_transfer::{Destination, PartMark, SourceUrl, Tags};
use imgserve_worker::Prepared;
use serde_json::{Map, Value};

use super::accept::{Acceptance, Outputs, Plan};
use super::intake;
use super::order::{Accepted, Left, Order, destination};
use super::request::Request;
use super::run::{Attempt, Stop, TURN_PATIENCE, parked, stopped};
use super::settings::Settings;
use super::store::{self, Kind};
use super::stored;
use super::turns;
use super::wanted::Wanted;
use super::warm::Supply;

/// An extension as short as any.
const SHORT: &str = "x";

impl Acceptance {
    /// Takes the job as it is: when this returns it is durable, and will run.
    ///
    /// # Errors
    /// The fault for which it is refused: nothing that another server could mend.
    pub(super) async fn take(
        self,
        request: Map<String, Value>,
        key: Option<IdempotencyKey>,
    ) -> Result<Accepted, Fault> {
        let source = intake::understood(self.wanted.source())?;
        let outputs = self.wanted.requests.iter().map(unplanned).collect::<Result<Vec<_>, _>>()?;
        let (outputs, destinations) = outputs.into_iter().unzip();
        let (notify, left) = (self.wanted.notify.clone(), Some(Left { request }));
        let unknown_arguments = self.wanted.unknown_arguments();
        let order = Order { source, recipes: Vec::new(), notify, left, unknown_arguments };
        let record = self.record(&order.source, outputs);
        let id = record.id;
        let accepted = self.accepted(id, destinations);
        if let Some(replayed) = self.submit((record, 0), &order, &accepted, key).await? {
            return Ok(replayed);
        }
        self.service.journal().release(id);
        self.service.wakeups().ask();
        imgserve_base::crash::point("accept-after-release");
        Ok(accepted)
    }
}

/// An output of which no more is known than the request says, and where it goes as far as that tells.
fn unplanned(request: &Request) -> Result<(Output, String), Fault> {
    let tags = request.tags();
    let known = tags.extension.or(Some(SHORT));
    // What is too long however short they are will be too long.
    destination(&request.destination, &Tags { width: Some(1), height: Some(1), extension: known, ..tags })?;
    let (text, destination) = Destination::from_template(&request.destination, &tags)
        .map_err(|error| Fault::of(FaultKind::DestinationUnavailable, &error))?;
    let output = Output {
        operation: request.operation.clone(),
        destination: destination.to_string(),
        state: OutputState::Waiting,
        width: 0,
        height: 0,
        format: request.format_name().to_owned(),
        bytes: None,
        warnings: Vec::new(),
        error: None,
    };
    Ok((output, text))
}

impl Attempt {
    /// Does what acceptance has left to do: plans, and stores the placeholders.
    pub(super) async fn make_up(&mut self, order: &mut Order) -> Result<(), Stop> {
        let (service, running) = (Arc::clone(&self.service), Arc::clone(&self.running));
        tokio::select! {
            biased;
            stop = stopped(&service, &running) => Err(stop),
            made_up = self.make_up_in_turn(order) => made_up,
        }
    }

    /// Each step is in the journal before anything shows of it: whenever the server ends, the next one knows what stands where.
    async fn make_up_in_turn(&mut self, order: &mut Order) -> Result<(), Stop> {
        let Some(Left { request }) = order.left.clone() else { return Ok(()) };
        let placeholders = match order.recipes.is_empty() {
            true => self.planned(order, &request).await?,
            false => self.drawn(order).await?,
        };
        if order.left.is_none() {
            return Ok(());
        }
        self.store_placeholders(order, placeholders).await?;
        order.left = None;
        // Else they would be stored again, perhaps over a result.
        self.write_order(order).await?;
        imgserve_base::crash::point("job-after-placeholder");
        Ok(())
    }

    /// Plans, and has it written down; gives the placeholders.
    async fn planned(&mut self, order: &mut Order, request: &Map<String, Value>) -> Result<Vec<Bytes>, Stop> {
        let began = Instant::now();
        // By the operations in force now; whether a webhook can be signed was seen to.
        let wanted = Wanted::v1(request, &self.generation.registry, true)?;
        let acceptance = Acceptance {
            service: Arc::clone(&self.service),
            generation: Arc::clone(&self.generation),
            settings: Arc::clone(&self.settings),
            wanted,
            client: self.record.client.clone(),
            turn: self.turn.clone(),
            began,
            coming: Mutex::default(),
            codecs_asked: AtomicBool::new(false),
        };
        self.generation.registry.admit(&acceptance.needs().operations())?;
        let plans = self.prepared(&acceptance, &order.source).await?;
        let (prepared, placeholders): (Vec<_>, Vec<_>) = plans.into_iter().unzip();
        self.turn.cost = Prepared::pixels_together(&prepared);
        let Outputs { recipes, outputs, .. } = acceptance.outputs(prepared)?;
        order.recipes = recipes;
        if !acceptance.wanted.placeholder {
            order.left = None;
        }
        for (before, output) in self.record.outputs.iter_mut().zip(outputs) {
            // What an earlier attempt has decided stays so.
            if before.state == OutputState::Waiting {
                *before = output;
            }
        }
        self.record.took(Phase::Plan, began.elapsed());
        self.write_order(order).await?;
        Ok(placeholders)
    }

    async fn write_order(&self, order: &Order) -> Result<(), Fault> {
        imgserve_base::crash::point("job-before-plan");
        let text = stored::order_text(order);
        let written = self.service.journal().plan(self.record.clone(), text, self.turn.cost).await;
        imgserve_base::crash::point("job-after-plan");
        written.map_err(|error| self.service.journal_fault(&error))
    }

    /// The placeholders of what an earlier attempt has planned.
    async fn drawn(&self, order: &Order) -> Result<Vec<Bytes>, Stop> {
        let mut placeholders = Vec::with_capacity(order.recipes.len());
        for recipe in &order.recipes {
            let drawn = store::picture(&self.generation, &self.turn.flow, recipe, false).await?;
            // A result that is no image has an empty one.
            placeholders.push(drawn.unwrap_or_default());
        }
        Ok(placeholders)
    }

    async fn store_placeholders(&mut self, order: &Order, placeholders: Vec<Bytes>) -> Result<(), Stop> {
        let began = Instant::now();
        for (index, (recipe, placeholder)) in order.recipes.iter().zip(placeholders).enumerate() {
            if self.record.outputs[index].state == OutputState::Waiting {
                let asks = turns::results([&recipe.destination], &self.turn);
                let asks = self.settings.transfer.located(asks).await;
                let _place = match self.service.turns().try_result(&asks) {
                    Some(place) => place,
                    None => {
                        // Others have its memory while a destination has no place.
                        self.supply = std::mem::replace(&mut self.supply, Supply::Again(None)).again();
                        parked(&self.service, &self.running, self.service.turns().result(&asks)).await?
                    }
                };
                // Named as acceptance names it, where a later attempt looks for what may be left of it.
                let mark = store::mark(self.record.id, index, 0, Kind::Placeholder, self.cold);
                let mark = PartMark { lease: self.running.lease().clone(), ..mark };
                let transfer = self.settings.transfer.on_behalf_of(&self.turn.flow);
                store::store(&transfer, recipe, (Kind::Placeholder, placeholder), &mark).await?;
            }
        }
        self.record.took(Phase::Placeholder, began.elapsed());
        Ok(())
    }

    async fn prepared(&mut self, acceptance: &Acceptance, source: &SourceUrl) -> Result<Vec<Plan>, Stop> {
        let Settings { transfer, gate, .. } = &*self.settings;
        let place = gate.place(transfer, (source, &self.turn), TURN_PATIENCE);
        let place = parked(&self.service, &self.running, place).await??;
        let (plans, supply) = acceptance.prepare(source, place).await?;
        self.supply = supply;
        Ok(plans)
    }
}
