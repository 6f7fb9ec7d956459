"""Working code around nn.LSTM, with a liquid layer in its place: it runs, and its loss falls.

The patterns are those that people publish, written again: a language model over batches cut from
one text, a classifier of packed rows, an encoder and decoder with teacher forcing, a Lightning
module, and the recurrent blocks of two forecasting libraries (darts, neuralforecast). The one line
that differs is the class; a liquid state is one tensor where an LSTM's is a pair (h, c)."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from torchliquid import LTC
from torchliquid.nn import CTRNN, CfC, DecayGRU

CLASSES = {"nn.LSTM": nn.LSTM, "LTC": LTC, "CTRNN": CTRNN, "DecayGRU": DecayGRU, "CfC": CfC}


def told(state):
    """What the state tells: h of an LSTM's pair, or the state itself."""
    return state[0] if isinstance(state, tuple) else state


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def falls(losses, share=0.8):
    tenth = max(1, len(losses) // 10)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    assert last < share * first, f"{first:.4f} -> {last:.4f}"


def fit(model, loss_of, steps, rate=0.01, clip=1.0):
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        model.train()
        optimiser.zero_grad()
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        losses.append(loss.item())
    return losses


# --- a word language model ---------------------------------------------------------------------


class LanguageModel(nn.Module):
    """Embedding, dropout, deep recurrent layers, dropout, decoder."""

    def __init__(self, cls, words, width, hidden, num_layers, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(words, width)
        self.rnn = cls(width, hidden, num_layers, dropout=dropout)
        self.decoder = nn.Linear(hidden, words)
        self.num_layers, self.hidden = num_layers, hidden

    def init_hidden(self, batch):
        weight = next(self.parameters())
        zeros = weight.new_zeros(self.num_layers, batch, self.hidden)
        return (zeros, zeros.clone()) if isinstance(self.rnn, nn.LSTM) else zeros

    def forward(self, tokens, hidden):
        self.rnn.flatten_parameters()
        output, hidden = self.rnn(self.drop(self.encoder(tokens)), hidden)
        decoded = self.decoder(self.drop(output))
        return nn.functional.log_softmax(decoded.flatten(0, 1), dim=-1), hidden


@pytest.mark.parametrize("name", CLASSES)
def test_a_word_language_model(name):
    text = torch.tensor(list(range(12)) * 24)  # a text that can be learnt
    batch, length = 4, 6
    data = text[: len(text) // batch * batch].view(batch, -1).t().contiguous()
    model = LanguageModel(CLASSES[name], 12, 16, 24, 2, 0.1)
    state = {"hidden": model.init_hidden(batch), "at": 0}

    def loss_of():
        if state["at"] + length >= len(data):
            state.update(hidden=model.init_hidden(batch), at=0)
        at = state["at"]
        told_words, hidden = model(data[at : at + length], state["hidden"])
        state.update(hidden=detached(hidden), at=at + length)
        return nn.functional.nll_loss(told_words, data[at + 1 : at + 1 + length].flatten())

    falls(fit(model, loss_of, 150, rate=0.02))
    model.eval()
    with torch.no_grad():
        words, hidden = torch.tensor([[3]]), model.init_hidden(1)
        for _ in range(3):
            chances, hidden = model(words, hidden)
            words = chances.argmax(-1, keepdim=True)
        assert words.shape == (1, 1)


# --- a classifier of packed rows ---------------------------------------------------------------


class Classifier(nn.Module):
    """Embedding, packed rows through both directions, the last states side by side."""

    def __init__(self, cls, words, hidden, classes):
        super().__init__()
        self.embedding = nn.Embedding(words, 8, padding_idx=0)
        self.rnn = cls(8, hidden, num_layers=2, bidirectional=True, dropout=0.1, batch_first=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, tokens, lengths):
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        output, state = self.rnn(packed)
        output, _ = pad_packed_sequence(output, batch_first=True)
        hidden = told(state)
        return self.fc(torch.cat([hidden[-2], hidden[-1]], dim=1)), output


@pytest.mark.parametrize("name", CLASSES)
def test_a_classifier_of_packed_rows(name):
    """The class is the first word of a row of unknown length."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(3, 10, (48,), generator=generator)
    rows = [torch.randint(1, 6, (int(n),), generator=generator) for n in lengths]
    tokens = pad_sequence(rows, batch_first=True)
    target = tokens[:, 0] > 3
    model = Classifier(CLASSES[name], 6, 12, 2)
    losses = fit(
        model,
        lambda: nn.functional.cross_entropy(model(tokens, lengths)[0], target.long()),
        40,
        rate=0.02,
    )
    falls(losses)


# --- an encoder and a decoder ------------------------------------------------------------------


class Translator(nn.Module):
    """The encoder's last state starts the decoder, which is told the right symbol or its own."""

    def __init__(self, cls, hidden):
        super().__init__()
        self.embedding = nn.Embedding(8, 8)
        self.encoder = cls(8, hidden, 2, batch_first=True)
        self.decoder = cls(8, hidden, 2, batch_first=True)
        self.out = nn.Linear(hidden, 8)

    def forward(self, source, target, teacher_forcing):
        _, state = self.encoder(self.embedding(source))
        symbol, outputs = torch.zeros(len(source), 1, dtype=torch.long), []
        for t in range(target.shape[1]):
            output, state = self.decoder(self.embedding(symbol), state)
            logits = self.out(output)
            outputs.append(logits)
            forced = teacher_forcing or not self.training
            symbol = target[:, t : t + 1] if forced else logits.argmax(-1)
        return torch.cat(outputs, dim=1)


@pytest.mark.parametrize("name", CLASSES)
def test_sequence_to_sequence_with_teacher_forcing(name):
    source = torch.randint(1, 8, (32, 4), generator=torch.Generator().manual_seed(2))
    target = source.flip(1)
    model = Translator(CLASSES[name], 24)
    steps = iter(range(1000))

    def loss_of():
        logits = model(source, target, teacher_forcing=next(steps) % 4 != 0)
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    falls(fit(model, loss_of, 60, rate=0.02))


# --- Lightning ---------------------------------------------------------------------------------


# its own imports, its advice on workers and loggers, and torch's pytree behind it
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nn.LSTM", "LTC"])
def test_a_lightning_module(name, tmp_path):
    lightning = pytest.importorskip("pytorch_lightning")
    x = torch.randn(64, 10, 1).cumsum(1) / 3
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x[:, :-1], x[:, 1:]), batch_size=16, shuffle=True
    )

    class Forecaster(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters()
            self.rnn = CLASSES[name](1, 16, num_layers=2, batch_first=True)
            self.head = nn.Linear(16, 1)
            self.losses = []

        def forward(self, x):
            return self.head(self.rnn(x)[0])

        def training_step(self, batch, _):
            loss = nn.functional.mse_loss(self(batch[0]), batch[1])
            self.log("loss", loss)
            self.losses.append(loss.item())
            return loss

        def validation_step(self, batch, _):
            self.log("validation", nn.functional.mse_loss(self(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.02)

    model = Forecaster()
    trainer = lightning.Trainer(
        max_epochs=12,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=True,
        gradient_clip_val=1.0,
        default_root_dir=tmp_path,
        num_sanity_val_steps=1,
    )
    trainer.fit(model, loader, loader)
    falls(model.losses)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = Forecaster.load_from_checkpoint(tmp_path / "last.ckpt").eval()
    assert torch.equal(again(x), model.eval()(x))


# --- the blocks of forecasting libraries -------------------------------------------------------


class BlockForecaster(nn.Module):
    """A block as darts has it: the last output becomes a chunk of the future, by one matrix."""

    def __init__(self, cls, inputs, hidden, num_layers, chunk, targets, dropout):
        super().__init__()
        self.rnn = cls(
            input_size=inputs,
            hidden_size=hidden,
            num_layers=num_layers,
            batch_first=True,
            dropout=dropout,
        )
        self.fc = nn.Linear(hidden, chunk * targets)
        self.chunk, self.targets = chunk, targets

    def forward(self, x):
        out, state = self.rnn(x)
        assert torch.allclose(told(state)[-1], out[:, -1], atol=1e-6)
        return self.fc(told(state)[-1]).view(x.shape[0], self.chunk, self.targets)


class EncodedHistory(nn.Module):
    """An encoder as neuralforecast has it: static and future inputs join, an MLP decodes."""

    def __init__(self, cls, history, static, future, hidden, horizon):
        super().__init__()
        self.hist_encoder = cls(
            input_size=history + static,
            hidden_size=hidden,
            num_layers=2,
            bias=True,
            dropout=0.1,
            batch_first=True,
        )
        self.context = nn.Linear(hidden + future * horizon, 4 * horizon)
        self.decoder = nn.Sequential(nn.Linear(4 + future, 16), nn.ReLU(), nn.Linear(16, 1))
        self.horizon, self.future = horizon, future

    def forward(self, history, static, future):
        B, L, _ = history.shape
        repeated = static.unsqueeze(1).expand(B, L, -1)
        hidden, _ = self.hist_encoder(torch.cat([history, repeated], dim=-1))
        ahead = future.flatten(1)
        context = self.context(torch.cat([hidden[:, -1], ahead], dim=-1))
        context = context.view(B, self.horizon, 4)
        return self.decoder(torch.cat([context, future], dim=-1)).squeeze(-1)


@pytest.mark.parametrize("name", CLASSES)
def test_a_block_that_forecasts_a_chunk(name):
    time = torch.arange(60) * 0.4
    series = torch.stack([time.sin(), (0.7 * time).cos()], dim=-1)
    windows = series.unfold(0, 24, 1).transpose(1, 2)
    model = BlockForecaster(CLASSES[name], 2, 24, 2, 4, 2, 0.1)
    past, future = windows[:, :20], windows[:, 20:]
    # two layers of CfC with backbones of 128 saturate at the rate that the others learn at
    rate = 0.005 if name == "CfC" else 0.02
    falls(fit(model, lambda: nn.functional.mse_loss(model(past), future), 60, rate=rate))


@pytest.mark.parametrize("name", CLASSES)
def test_an_encoder_with_static_and_future_inputs(name):
    generator = torch.Generator().manual_seed(3)
    history = torch.randn(40, 12, 1, generator=generator).cumsum(1) / 3
    static = torch.randn(40, 2, generator=generator)
    future = torch.randn(40, 3, 1, generator=generator)
    target = history[:, -1] + future.squeeze(-1) + static[:, :1]
    model = EncodedHistory(CLASSES[name], 1, 2, 1, 16, 3)
    losses = fit(
        model,
        lambda: nn.functional.mse_loss(model(history, static, future), target),
        60,
        rate=0.02,
    )
    falls(losses)
