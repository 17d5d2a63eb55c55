//! The leader's rules: scripts, and what needs numbers.

unit_tests::scripts!("leader": replication conflict limits blank reads stepping_down);
