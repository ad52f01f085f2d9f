"""Settings of the daily report."""

from pydantic import Field, field_validator

from services.runtime.setting_types import Address
from services.runtime.settings import RuntimeSettings


class DailyReportSettings(RuntimeSettings):
    """What the kind `report.daily` reads from the environment."""

    prices_address: Address = Field("127.0.0.1:50051", validation_alias="SIGNALBOX_PRICES_ADDRESS")
    """Address of the prices service, host:port."""
    analysis_address: Address = Field("127.0.0.1:50052", validation_alias="SIGNALBOX_ANALYSIS_ADDRESS")
    """Address of the analysis service, host:port."""
    news_address: Address = Field("127.0.0.1:50053", validation_alias="SIGNALBOX_NEWS_ADDRESS")
    """Address of the news service, host:port."""
    gateway_address: Address = Field("127.0.0.1:50050", validation_alias="SIGNALBOX_GATEWAY_ADDRESS")
    """Address of the gateway, host:port."""
    gateway_metrics_port: int = Field(9466, validation_alias="SIGNALBOX_GATEWAY_METRICS_PORT", ge=0, le=65535)
    """Port of the gateway's metrics; 0: not asked."""
    prices_metrics_port: int = Field(9464, validation_alias="SIGNALBOX_PRICES_METRICS_PORT", ge=0, le=65535)
    """Port of the prices service's metrics; 0: not asked."""
    prices_worker_metrics_port: int = Field(9467, validation_alias="SIGNALBOX_PRICES_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of the prices worker's metrics; 0: not asked."""
    analysis_metrics_port: int = Field(9465, validation_alias="SIGNALBOX_ANALYSIS_METRICS_PORT", ge=0, le=65535)
    """Port of the analysis service's metrics; 0: not asked."""
    analysis_worker_metrics_port: int = Field(9468, validation_alias="SIGNALBOX_ANALYSIS_WORKER_METRICS_PORT", ge=0, le=65535)
    """Port of the analysis worker's metrics; 0: not asked."""
    report_source_timeout_ms: int = Field(60_000, validation_alias="SIGNALBOX_REPORT_SOURCE_TIMEOUT_MS", ge=100, le=600_000)
    """Longest time in milliseconds that one answer of a service may take when a report's input is collected."""
    report_parallel: int = Field(8, validation_alias="SIGNALBOX_REPORT_PARALLEL", ge=1, le=64)
    """Symbols whose bars are asked for at once."""
    report_notify: str = Field("", validation_alias="SIGNALBOX_REPORT_NOTIFY", repr=False)
    """Apprise URLs, separated by spaces or commas, that each finished daily report is sent to; empty: nowhere. They may hold passwords and are never logged."""

    @field_validator("report_notify")
    @classmethod
    def _are_known(cls, value: str) -> str:
        if value:
            from services.reports.daily.delivery import addresses, is_known

            found = addresses(value)
            wrong = [str(number) for number, address in enumerate(found, 1) if not is_known(address)]
            if wrong or not found:
                raise ValueError(f"Apprise URLs, separated by spaces or commas; Apprise does not know number {', '.join(wrong) or '1'} of {len(found)}")
        return value

    def metrics_ports(self) -> dict[str, int]:
        """Ports of the processes whose metrics are recorded, by name."""
        ports = {
            "gateway": self.gateway_metrics_port,
            "prices": self.prices_metrics_port,
            "prices-worker": self.prices_worker_metrics_port,
            "analysis": self.analysis_metrics_port,
            "analysis-worker": self.analysis_worker_metrics_port,
        }
        return {name: port for name, port in ports.items() if port}
