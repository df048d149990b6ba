CREATE TABLE mules (holder TEXT, food TEXT, rallies INTEGER, tract TEXT);
INSERT INTO mules VALUES
('Vovak', 'Yegoff', 870, 'Robum'),
('Yigic', 'Tanoff', 763, 'Tabin'),
('Venin', 'Yegoff', 54, 'Resen'),
('Gigak', 'Yegoff', 696, 'Zibin'),
('Vibel', 'Kaper', 929, 'Beric'),
('Nugum', 'Kaper', 914, 'Beric'),
('Fager', 'Yegoff', 510, 'Tabin'),
('Wezic', 'Tanoff', 981, 'Lapov'),
('Jinis', 'Tanoff', 448, 'Zibin'),
('Nisov', 'Huten', 110, 'Lapov');

CREATE TABLE gyms (tract TEXT, mode TEXT, outlets INTEGER);
INSERT INTO gyms VALUES
('Tabin', 'Polis', 445),
('Zibin', 'Jezov', 199),
('Beric', 'Gusov', 822),
('Lapov', 'Polis', 152),
('Robum', 'Gusov', 925),
('Resen', 'Polis', 165);

CREATE TABLE rockers (phrase TEXT, singer TEXT, kilos INTEGER, pupil TEXT);
INSERT INTO rockers VALUES
('Bapov', 'Luron', 576, 'Hiper'),
('Reten', 'Pavak', 534, 'Hiper'),
('Dakski', 'Luron', 762, 'Dabis'),
('Jugoff', 'Monum', 863, 'Zoden'),
('Yelel', 'Pofum', 79, 'Pudak'),
('Vesin', 'Pofum', 459, 'Zoden'),
('Buner', 'Monum', 246, 'Pudak'),
('Gogum', 'Monum', 150, 'Beton'),
('Pikin', 'Monum', 844, 'Beton'),
('Lazis', 'Luron', 422, 'Dibel');

CREATE TABLE veils (pupil TEXT, power INTEGER, coach TEXT);
INSERT INTO veils VALUES
('Hiper', 260, 'Fivski'),
('Pudak', 342, 'Kaken'),
('Zoden', 745, 'Tirel'),
('Beton', 409, 'Kaken'),
('Dibel', 230, 'Tirel'),
('Dabis', 907, 'Tirel');

CREATE TABLE papers (buyer TEXT, doubles INTEGER, relic TEXT, armor TEXT);
INSERT INTO papers VALUES
('Hisski', 387, 'Wosic', 'Norski'),
('Mudski', 224, 'Kanov', 'Mezski'),
('Wusic', 816, 'Genski', 'Fikin'),
('Bebic', 302, 'Kanov', 'Ziton'),
('Jagak', 470, 'Genski', 'Mezski'),
('Tibin', 563, 'Kanov', 'Galoff'),
('Rudis', 530, 'Wosic', 'Norski'),
('Fetov', 462, 'Suvic', 'Sazoff'),
('Gulski', 463, 'Genski', 'Galoff'),
('Savic', 313, 'Genski', 'Ziton');

CREATE TABLE workers (armor TEXT, timber TEXT, tips INTEGER);
INSERT INTO workers VALUES
('Mezski', 'Tofic', 89),
('Norski', 'Kapum', 909),
('Galoff', 'Kapum', 657),
('Ziton', 'Kapum', 149),
('Sazoff', 'Bipic', 603),
('Fikin', 'Tofic', 455);

CREATE TABLE engines (mouth TEXT, salary INTEGER, matron TEXT, medic TEXT);
INSERT INTO engines VALUES
('Nifon', 31, 'Bozis', 'Faton'),
('Subis', 154, 'Bozis', 'Fukum'),
('Sotski', 893, 'Sidak', 'Rilel'),
('Totak', 208, 'Mifov', 'Faton'),
('Vafer', 13, 'Sidak', 'Rilel'),
('Gafer', 392, 'Mifov', 'Puper'),
('Dugic', 709, 'Wisen', 'Sesen'),
('Febum', 217, 'Mifov', 'Widoff'),
('Mider', 236, 'Sidak', 'Fukum'),
('Foker', 43, 'Mifov', 'Widoff');

CREATE TABLE gems (medic TEXT, boards INTEGER, branch TEXT);
INSERT INTO gems VALUES
('Widoff', 245, 'Watak'),
('Faton', 454, 'Repel'),
('Fukum', 22, 'Watak'),
('Rilel', 387, 'Somak'),
('Sesen', 849, 'Repel'),
('Puper', 52, 'Watak');

CREATE TABLE hotels (kit TEXT, samples INTEGER, offer TEXT, spirit TEXT);
INSERT INTO hotels VALUES
('Wadon', 706, 'Fupic', 'Sager'),
('Darin', 960, 'Pupel', 'Moloff'),
('Figak', 994, 'Faben', 'Gutoff'),
('Hadel', 62, 'Pupel', 'Vater'),
('Silski', 304, 'Bonin', 'Gutoff'),
('Gafic', 403, 'Bonin', 'Sager'),
('Hakoff', 140, 'Bonin', 'Moloff'),
('Yaser', 224, 'Bonin', 'Vater'),
('Kimon', 332, 'Fupic', 'Wizic'),
('Wutel', 31, 'Pupel', 'Womel');

CREATE TABLE robes (spirit TEXT, axles INTEGER, bench TEXT);
INSERT INTO robes VALUES
('Gutoff', 597, 'Mofov'),
('Vater', 678, 'Jiren'),
('Sager', 778, 'Zibum'),
('Moloff', 696, 'Mofov'),
('Wizic', 584, 'Zibum'),
('Womel', 852, 'Zibum');

CREATE TABLE hoods (gunner TEXT, stone TEXT, sides INTEGER, tunnel TEXT);
INSERT INTO hoods VALUES
('Pifen', 'Wudum', 728, 'Weber'),
('Zener', 'Wudum', 186, 'Tiber'),
('Figic', 'Ginoff', 960, 'Jeger'),
('Natel', 'Lerel', 323, 'Tiber'),
('Rebel', 'Yaber', 963, 'Zumski'),
('Kotum', 'Wudum', 170, 'Kufis'),
('Wekov', 'Lerel', 61, 'Weber'),
('Wopis', 'Yaber', 702, 'Jeger'),
('Jumis', 'Yaber', 530, 'Zumski'),
('Gosak', 'Wudum', 419, 'Wafski');

CREATE TABLE acorns (tunnel TEXT, images INTEGER, theme TEXT);
INSERT INTO acorns VALUES
('Tiber', 179, 'Woden'),
('Zumski', 284, 'Muzon'),
('Weber', 971, 'Woden'),
('Jeger', 460, 'Govov'),
('Wafski', 787, 'Muzon'),
('Kufis', 734, 'Muzon');

CREATE TABLE galas (path TEXT, castle TEXT, walks INTEGER, planner TEXT);
INSERT INTO galas VALUES
('Lopon', 'Letum', 257, 'Judic'),
('Fagen', 'Zikak', 973, 'Tukon'),
('Yapin', 'Suvov', 726, 'Mitoff'),
('Wupen', 'Malum', 465, 'Wupis'),
('Zisel', 'Suvov', 786, 'Jovov'),
('Jover', 'Letum', 329, 'Judic'),
('Bupis', 'Malum', 105, 'Tukon'),
('Yokoff', 'Suvov', 603, 'Damic'),
('Vaten', 'Letum', 936, 'Wupis'),
('Dizoff', 'Letum', 433, 'Mitoff');

CREATE TABLE burgers (planner TEXT, checks INTEGER, father TEXT);
INSERT INTO burgers VALUES
('Tukon', 578, 'Yosum'),
('Judic', 520, 'Lenak'),
('Wupis', 673, 'Jetak'),
('Mitoff', 570, 'Jetak'),
('Jovov', 907, 'Yosum'),
('Damic', 231, 'Jetak');

CREATE TABLE juries (keeper TEXT, valley TEXT, fields INTEGER, branch TEXT);
INSERT INTO juries VALUES
('Dinum', 'Suzer', 458, 'Buber'),
('Weric', 'Sovel', 34, 'Megel'),
('Topen', 'Sovel', 396, 'Tuzel'),
('Zifis', 'Dofon', 585, 'Megel'),
('Tebel', 'Dofon', 89, 'Kodic'),
('Kulak', 'Juvum', 935, 'Tatum'),
('Gemer', 'Dofon', 392, 'Kodic'),
('Yisic', 'Sovel', 440, 'Buber'),
('Zaris', 'Sovel', 946, 'Hodov'),
('Kanis', 'Suzer', 91, 'Tatum');

CREATE TABLE shores (branch TEXT, taxes INTEGER, bed TEXT);
INSERT INTO shores VALUES
('Megel', 969, 'Nifis'),
('Tatum', 829, 'Sizak'),
('Kodic', 241, 'Nifis'),
('Buber', 837, 'Palski'),
('Tuzel', 101, 'Nifis'),
('Hodov', 398, 'Palski');

CREATE TABLE bees (country TEXT, food TEXT, fields INTEGER, side TEXT);
INSERT INTO bees VALUES
('Diloff', 'Geden', 795, 'Vepen'),
('Tapski', 'Himin', 649, 'Razov'),
('Hagoff', 'Busen', 946, 'Lotak'),
('Gunov', 'Geden', 330, 'Negel'),
('Palic', 'Geden', 31, 'Lotak'),
('Wusum', 'Lasen', 742, 'Negel'),
('Digum', 'Himin', 128, 'Nazen'),
('Gubski', 'Lasen', 984, 'Siker'),
('Huson', 'Lasen', 845, 'Nazen'),
('Bugis', 'Lasen', 310, 'Vepen');

CREATE TABLE arcs (side TEXT, toes INTEGER, phase TEXT);
INSERT INTO arcs VALUES
('Vepen', 318, 'Rifis'),
('Nazen', 379, 'Tosen'),
('Negel', 947, 'Tosen'),
('Lotak', 407, 'Rifis'),
('Siker', 188, 'Tosen'),
('Razov', 786, 'Gapen');

CREATE TABLE lockers (motion TEXT, grade INTEGER, gang TEXT, mammal TEXT);
INSERT INTO lockers VALUES
('Fumak', 417, 'Jasski', 'Doben'),
('Likski', 102, 'Jasski', 'Hesin'),
('Jigin', 608, 'Morak', 'Vedak'),
('Kobin', 451, 'Kuzon', 'Vogski'),
('Bamis', 952, 'Kuzon', 'Vogski'),
('Henin', 668, 'Wuvski', 'Doben'),
('Napak', 898, 'Kuzon', 'Hesin'),
('Moren', 642, 'Jasski', 'Pitoff'),
('Himon', 109, 'Jasski', 'Sodic'),
('Bizski', 273, 'Wuvski', 'Sodic');

CREATE TABLE dams (mammal TEXT, pitch INTEGER, domain TEXT);
INSERT INTO dams VALUES
('Doben', 197, 'Wavis'),
('Hesin', 79, 'Varen'),
('Sodic', 458, 'Wavis'),
('Vogski', 173, 'Liton'),
('Pitoff', 771, 'Wavis'),
('Vedak', 196, 'Liton');

CREATE TABLE writers (maid TEXT, mascot TEXT, wage INTEGER, path TEXT);
INSERT INTO writers VALUES
('Lolak', 'Todin', 788, 'Muzov'),
('Govum', 'Todin', 93, 'Muzov'),
('Vimel', 'Pabski', 58, 'Yurski'),
('Rokon', 'Pofic', 325, 'Yurski'),
('Zofen', 'Pabski', 494, 'Femel'),
('Jever', 'Nazer', 452, 'Gosak'),
('Jevov', 'Pabski', 576, 'Gosak'),
('Meden', 'Todin', 762, 'Jamon'),
('Zanak', 'Pofic', 767, 'Femel'),
('Hegski', 'Pabski', 962, 'Sulum');

CREATE TABLE canoes (path TEXT, chests INTEGER, fate TEXT);
INSERT INTO canoes VALUES
('Muzov', 445, 'Webel'),
('Femel', 265, 'Fudoff'),
('Yurski', 822, 'Fudoff'),
('Gosak', 462, 'Ledski'),
('Sulum', 604, 'Fudoff'),
('Jamon', 442, 'Webel');

CREATE TABLE jars (torch TEXT, taste TEXT, cuts INTEGER, fate TEXT);
INSERT INTO jars VALUES
('Hanon', 'Yiten', 932, 'Huger'),
('Rerov', 'Todin', 245, 'Wezak'),
('Lapum', 'Wigis', 930, 'Pugis'),
('Kiger', 'Jasen', 925, 'Wadak'),
('Romon', 'Jasen', 78, 'Huger'),
('Zolis', 'Todin', 308, 'Wadak'),
('Yulen', 'Wigis', 604, 'Pugis'),
('Mobov', 'Wigis', 94, 'Kikov'),
('Hepel', 'Wigis', 472, 'Rarski'),
('Kalel', 'Jasen', 986, 'Kikov');

CREATE TABLE pirates (fate TEXT, cloth TEXT, dunks INTEGER);
INSERT INTO pirates VALUES
('Pugis', 'Dopic', 704),
('Wadak', 'Dopic', 800),
('Huger', 'Totum', 786),
('Kikov', 'Lifski', 191),
('Wezak', 'Dopic', 202),
('Rarski', 'Lifski', 81);

CREATE TABLE tenants (head TEXT, start TEXT, duels INTEGER, plate TEXT);
INSERT INTO tenants VALUES
('Toser', 'Balak', 105, 'Zegon'),
('Bovoff', 'Josis', 448, 'Tunen'),
('Yoten', 'Goboff', 325, 'Vamov'),
('Pevoff', 'Goboff', 821, 'Woten'),
('Poner', 'Renis', 174, 'Zegon'),
('Kutski', 'Goboff', 454, 'Denoff'),
('Lafen', 'Renis', 87, 'Tunen'),
('Maner', 'Goboff', 58, 'Vamov'),
('Guzski', 'Josis', 878, 'Wepen'),
('Veder', 'Renis', 259, 'Woten');

CREATE TABLE oaks (plate TEXT, lifts INTEGER, voter TEXT);
INSERT INTO oaks VALUES
('Tunen', 218, 'Bimis'),
('Vamov', 74, 'Lunel'),
('Zegon', 909, 'Lunel'),
('Woten', 958, 'Lunel'),
('Denoff', 556, 'Bimis'),
('Wepen', 380, 'Sobov');

CREATE TABLE helpers (curator TEXT, gaps INTEGER, block TEXT, event TEXT);
INSERT INTO helpers VALUES
('Jutum', 105, 'Ladski', 'Manin'),
('Wulak', 808, 'Ladski', 'Fimon'),
('Tivic', 986, 'Filin', 'Fudic'),
('Hufoff', 106, 'Bibov', 'Borak'),
('Zuzer', 726, 'Filin', 'Yulel'),
('Mupin', 724, 'Bibov', 'Vapoff'),
('Gubski', 94, 'Ladski', 'Manin'),
('Bizum', 376, 'Digel', 'Yulel'),
('Music', 723, 'Filin', 'Vapoff'),
('Sidak', 809, 'Ladski', 'Fudic');

CREATE TABLE lists (event TEXT, doubles INTEGER, format TEXT);
INSERT INTO lists VALUES
('Vapoff', 782, 'Supov'),
('Fudic', 372, 'Funis'),
('Manin', 849, 'Supov'),
('Yulel', 47, 'Pizon'),
('Borak', 998, 'Supov'),
('Fimon', 421, 'Pizon');

CREATE TABLE drawers (island TEXT, heir TEXT, faces INTEGER, fighter TEXT);
INSERT INTO drawers VALUES
('Desoff', 'Wazak', 898, 'Vemis'),
('Misel', 'Mazon', 30, 'Bilic'),
('Megel', 'Jolum', 905, 'Getis'),
('Wozoff', 'Mazon', 768, 'Bomis'),
('Zalic', 'Wazak', 417, 'Hofski'),
('Wonoff', 'Wazak', 697, 'Hofski'),
('Donis', 'Jolum', 637, 'Bomis'),
('Gipen', 'Wazak', 941, 'Gudski'),
('Muron', 'Pubak', 102, 'Vemis'),
('Zisum', 'Mazon', 13, 'Getis');

CREATE TABLE peppers (fighter TEXT, cuts INTEGER, uncle TEXT);
INSERT INTO peppers VALUES
('Getis', 278, 'Famoff'),
('Vemis', 969, 'Gipon'),
('Hofski', 853, 'Famoff'),
('Bomis', 857, 'Gipon'),
('Bilic', 273, 'Zafov'),
('Gudski', 386, 'Gipon');

CREATE TABLE pilots (museum TEXT, flower TEXT, year INTEGER, song TEXT);
INSERT INTO pilots VALUES
('Sizon', 'Burer', 19, 'Wenoff'),
('Mabov', 'Burer', 306, 'Zaner'),
('Rofon', 'Zofen', 133, 'Wenoff'),
('Relski', 'Zofen', 676, 'Ziker'),
('Tirin', 'Hadel', 259, 'Zaner'),
('Vozon', 'Zofen', 824, 'Nosov'),
('Jinel', 'Hadel', 576, 'Ziker'),
('Bonak', 'Zofen', 647, 'Nosov'),
('Kozak', 'Gimum', 937, 'Tudak'),
('Sipov', 'Hadel', 427, 'Latic');

CREATE TABLE buses (song TEXT, relic TEXT, hats INTEGER);
INSERT INTO buses VALUES
('Wenoff', 'Favski', 81),
('Ziker', 'Yizen', 349),
('Nosov', 'Yizen', 775),
('Zaner', 'Favski', 274),
('Latic', 'Jebak', 808),
('Tudak', 'Favski', 653);

CREATE TABLE oboes (machine TEXT, type TEXT, cells INTEGER, harbor TEXT);
INSERT INTO oboes VALUES
('Kogen', 'Nidic', 101, 'Zasski'),
('Mazen', 'Nidic', 378, 'Kigski'),
('Gisum', 'Nidic', 69, 'Wimum'),
('Hakin', 'Weker', 626, 'Ludski'),
('Duner', 'Wasov', 826, 'Jurel'),
('Toden', 'Tokov', 816, 'Zasski'),
('Pagum', 'Wasov', 697, 'Kigski'),
('Kuzin', 'Weker', 308, 'Wimum'),
('Nitski', 'Wasov', 495, 'Fadski'),
('Nimer', 'Nidic', 275, 'Ludski');

CREATE TABLE jokers (harbor TEXT, road TEXT, revenue INTEGER);
INSERT INTO jokers VALUES
('Kigski', 'Koven', 386),
('Ludski', 'Laden', 274),
('Zasski', 'Laden', 576),
('Wimum', 'Bipis', 575),
('Jurel', 'Koven', 878),
('Fadski', 'Laden', 513);

CREATE TABLE foals (station TEXT, spaces INTEGER, father TEXT, title TEXT);
INSERT INTO foals VALUES
('Pilel', 440, 'Difov', 'Pafer'),
('Wofov', 649, 'Lorski', 'Dinin'),
('Bomis', 473, 'Lorski', 'Kanel'),
('Kudel', 218, 'Luvski', 'Nazski'),
('Ninak', 689, 'Difov', 'Pudak'),
('Dipen', 437, 'Hazer', 'Pafer'),
('Gevov', 432, 'Hazer', 'Pudak'),
('Fodis', 565, 'Difov', 'Kanel'),
('Jikoff', 448, 'Lorski', 'Nazski'),
('Didov', 914, 'Lorski', 'Tinon');

CREATE TABLE nurses (title TEXT, queen TEXT, kicks INTEGER);
INSERT INTO nurses VALUES
('Nazski', 'Namel', 276),
('Kanel', 'Namel', 380),
('Pafer', 'Bemen', 632),
('Pudak', 'Bemen', 824),
('Dinin', 'Vibski', 625),
('Tinon', 'Bemen', 95);

CREATE TABLE tanks (picker TEXT, fans INTEGER, truck TEXT, dorm TEXT);
INSERT INTO tanks VALUES
('Rifin', 608, 'Hapoff', 'Vuric'),
('Likon', 762, 'Sanin', 'Redel'),
('Jorov', 719, 'Sanin', 'Puder'),
('Kenis', 136, 'Zugski', 'Geloff'),
('Dolum', 956, 'Hapoff', 'Geloff'),
('Fazski', 711, 'Sanin', 'Jizum'),
('Tanov', 230, 'Wavon', 'Mikum'),
('Jabum', 644, 'Zugski', 'Puder'),
('Letov', 276, 'Hapoff', 'Jizum'),
('Wobon', 36, 'Hapoff', 'Vuric');

CREATE TABLE blogs (dorm TEXT, porter TEXT, chests INTEGER);
INSERT INTO blogs VALUES
('Jizum', 'Yison', 773),
('Geloff', 'Tilen', 599),
('Puder', 'Tilen', 998),
('Vuric', 'Demum', 447),
('Mikum', 'Demum', 358),
('Redel', 'Demum', 763);

CREATE TABLE towns (stage TEXT, start TEXT, visits INTEGER, award TEXT);
INSERT INTO towns VALUES
('Pefel', 'Hunak', 834, 'Nukon'),
('Manic', 'Bagski', 947, 'Zaner'),
('Vonon', 'Bagski', 270, 'Nukon'),
('Tobin', 'Mudski', 659, 'Sufer'),
('Tezum', 'Rific', 982, 'Tapoff'),
('Tufum', 'Hunak', 761, 'Mezak'),
('Noson', 'Hunak', 949, 'Mezak'),
('Gatoff', 'Rific', 973, 'Kison'),
('Tilin', 'Bagski', 65, 'Zaner'),
('Pepski', 'Hunak', 167, 'Sufer');

CREATE TABLE debates (award TEXT, screen TEXT, cost INTEGER);
INSERT INTO debates VALUES
('Sufer', 'Buder', 112),
('Mezak', 'Fipic', 815),
('Nukon', 'Kugic', 578),
('Zaner', 'Kugic', 236),
('Kison', 'Kugic', 607),
('Tapoff', 'Fipic', 158);
