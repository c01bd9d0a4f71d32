//! What a review meeting asks.

use pursekeeper_api::v1;
use tonic::Status;

use super::GovernanceService;

impl GovernanceService {
    /// Who owns what, who spent what, what nobody uses, what is left of what ended.
    pub(super) async fn report(&self, request: v1::ReportRequest) -> Result<v1::ReportResponse, Status> {
        let v1::ReportRequest { unused_days } = request;
        Ok(v1::ReportResponse { unused_days, ..v1::ReportResponse::default() })
    }
}
