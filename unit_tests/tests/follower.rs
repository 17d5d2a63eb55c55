//! The follower's rules: scripts, and what needs numbers.

unit_tests::scripts!("follower": append conflict voting);
