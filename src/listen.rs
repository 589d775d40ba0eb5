//! What every listener has in common: sockets, the one accept loop, places for connections, and throttled log lines.
//!
//! The edge, admin and control listeners use this. It knows no routes, issuers or sources.

mod accept;
mod activity;
mod capacity;
mod files;
mod http1;
mod memory;
mod socket;
mod table;
mod throttle;

pub(crate) use accept::{Handler, accept};
pub(crate) use activity::{Activity, Watched};
pub(crate) use capacity::Capacity;
pub(crate) use files::connections_allowed;
pub(crate) use http1::{Bounds, serve_http1};
pub(crate) use socket::{Socket, bind};
pub(crate) use table::{Cost, Place, Places, Table};
pub(crate) use throttle::LogThrottle;
