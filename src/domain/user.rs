//! Who may do what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role. Each handler names the least that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, with credentials, base URLs, users and tokens.
    Owner,
    /// Everything but users, tokens and base URLs.
    Manager,
    /// Works on orders.
    Staff,
    /// Ships.
    Warehouse,
    /// Reads reports and SQL; no buyer's data.
    Analyst,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Manager, Self::Staff, Self::Warehouse, Self::Analyst];

    /// The name as stored and typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Manager => "manager",
            Self::Staff => "staff",
            Self::Warehouse => "warehouse",
            Self::Analyst => "analyst",
        }
    }

    /// May see orders, people and addresses.
    #[must_use]
    pub fn may_read_orders(self) -> bool {
        !matches!(self, Self::Analyst)
    }

    /// May export, retry, hold: whatever makes work on an order.
    #[must_use]
    pub fn may_work_orders(self) -> bool {
        matches!(self, Self::Owner | Self::Manager | Self::Staff)
    }

    /// May add, pause and change connections.
    #[must_use]
    pub fn may_manage(self) -> bool {
        matches!(self, Self::Owner | Self::Manager)
    }

    /// May change credentials, base URLs, users and tokens.
    #[must_use]
    pub fn is_owner(self) -> bool {
        matches!(self, Self::Owner)
    }

    /// May run SQL and reports.
    #[must_use]
    pub fn may_query(self) -> bool {
        matches!(self, Self::Owner | Self::Manager | Self::Analyst)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            format!("“{text}” is no role: choose one of owner, manager, staff, warehouse, analyst")
        })
    }
}
