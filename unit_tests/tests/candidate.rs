//! The rules of pre-candidate and candidate: scripts, and what needs numbers.

unit_tests::scripts!("candidate": election lost pre_vote);
