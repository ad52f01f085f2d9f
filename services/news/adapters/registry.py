"""The adapters by the name that the file of feeds uses."""

from services.news.adapters.edgar import EdgarAdapter
from services.news.adapters.fed import FedAdapter
from services.news.adapters.investing import InvestingAdapter
from services.news.adapters.recorded import RecordedAdapter
from services.news.adapters.rss import RssAdapter
from services.news.adapters.yahoo import YahooAdapter

ADAPTERS: dict[str, RssAdapter] = {
    "rss": RssAdapter(),
    "investing": InvestingAdapter(),
    "yahoo": YahooAdapter(),
    "edgar": EdgarAdapter(),
    "fed": FedAdapter(),
    "recorded": RecordedAdapter(),
}
