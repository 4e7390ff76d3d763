"""Expander graphs, their measures, and the sparse networks they make. The core; it never imports torch."""

from expandergraphs.bipartite import BipartiteGraph as BipartiteGraph
from expandergraphs.errors import GenerationError as GenerationError
from expandergraphs.generators.like import random_like as random_like
from expandergraphs.generators.radix import RadixNet as RadixNet
from expandergraphs.generators.radix import radix_net as radix_net
from expandergraphs.generators.radix import radix_net_for as radix_net_for
from expandergraphs.generators.radix import radix_net_with as radix_net_with
from expandergraphs.generators.random import random_bipartite as random_bipartite
from expandergraphs.generators.random import random_left_regular as random_left_regular
from expandergraphs.generators.regular import random_regular as random_regular
from expandergraphs.layered import LayeredGraph as LayeredGraph
from expandergraphs.paths import Components as Components
from expandergraphs.paths import components as components
from expandergraphs.paths import is_path_symmetric as is_path_symmetric
from expandergraphs.paths import path_counts as path_counts
